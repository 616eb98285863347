//! The columns of `people` about consent follow the table `consents`.

use rollbook_app::segments;
use serde_json::{Value, json};

use super::shop::{Shop, time};
use crate::support::personal_values::{holds, texts};

const PERSONS: &str = "external_id,email,accepts_email_marketing,gdpr_consent,created_at";
const CONSENTS: &str = "external_id,person_external_id,purpose,channel,granted,at,source,proof";
const PROOF: &str = "signed at the counter";

/// What the records of Ann, Bob and Cy say, and the consents that they gave and withdrew.
async fn shop(name: &str) -> Shop {
    let mut shop = Shop::new(name);
    let persons = [
        "a,ann@example.com,true,false,2023-01-01",
        "b,bob@example.com,,,2023-01-01",
        "c,cy@example.com,true,true,2023-01-01",
    ];
    let consents = [
        "c1,a,marketing,email,false,2024-03-01,shop,",
        "c2,b,marketing,,true,2024-04-01,form,signed at the counter",
        "c3,b,processing,,true,2024-04-02,form,",
        "c4,b,marketing,sms,false,2025-06-01,phone,",
        // At one moment: the one that withdraws counts.
        "c5,a,processing,,true,2024-05-01,shop,",
        "c6,a,processing,,false,2024-05-01,shop,",
    ];
    shop.take(
        "2024-01-01",
        &[
            ("persons", PERSONS, &persons),
            ("consents", CONSENTS, &consents),
        ],
    )
    .await;
    shop
}

/// E-mail, SMS, opt-in, processing and its time, of Ann, Bob and Cy.
fn columns(shop: &Shop, as_of: &str) -> Vec<Value> {
    let query = "select accepts_email_marketing as e, accepts_sms_marketing as s, \
        cast(marketing_opt_in_date as date) as o, gdpr_consent as g, \
        cast(gdpr_consent_date as date) as d from people order by person_id";
    let rows = shop.lake.json(&["sql", query, "--as-of", as_of]);
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| json!(["e", "s", "o", "g", "d"].map(|name| row[name].clone())))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_people_follow_the_latest_consents() {
    let shop = shop("consents").await;
    let ann = json!([false, null, null, false, "2024-05-01"]);
    let cy = json!([true, null, null, true, null]);
    let bob = json!([true, true, "2024-04-01", true, "2024-04-02"]);
    assert_eq!(columns(&shop, "2024-06-01"), [ann.clone(), bob, cy.clone()]);
    let bob = json!([true, false, "2024-04-01", true, "2024-04-02"]);
    assert_eq!(columns(&shop, "2025-07-01"), [ann, bob, cy.clone()]);
    // Before, the records alone count.
    let (ann, bob) = (
        json!([true, null, null, false, null]),
        json!([null, null, null, null, null]),
    );
    assert_eq!(columns(&shop, "2024-02-01"), [ann, bob, cy]);
}

#[tokio::test(flavor = "multi_thread")]
async fn segments_change_when_a_consent_does() {
    let mut shop = shop("consents-segments").await;
    let criteria = [
        ("mailed", "accepts_email_marketing"),
        ("texted", "accepts_sms_marketing"),
        ("refused", "not gdpr_consent"),
        (
            "opted",
            "marketing_opt_in_date > now() - interval '400 days'",
        ),
    ];
    for (key, criteria) in criteria {
        shop.put(key, criteria, "2024-01-02").await;
    }
    let warm = shop.workspace.clone().with_cache();
    let [ann, bob, cy] = ["a", "b", "c"].map(|id| shop.person(id).unsigned_abs());
    let expected: [(&str, [&[u64]; 4]); 4] = [
        ("2024-02-01", [&[ann, cy], &[], &[ann], &[]]),
        ("2024-04-15", [&[bob, cy], &[bob], &[ann], &[bob]]),
        ("2025-07-01", [&[bob, cy], &[], &[ann], &[]]),
        ("2025-09-01", [&[ann, bob, cy], &[], &[], &[ann]]),
    ];
    for (as_of, members) in expected {
        if as_of == "2025-09-01" {
            let again = [
                "c7,a,marketing,email,true,2025-08-01,shop,",
                "c8,a,processing,,true,2025-08-01,shop,",
            ];
            shop.take("2025-08-02", &[("consents", CONSENTS, &again)])
                .await;
        }
        shop.refresh(as_of, false).await;
        for ((key, criteria), expected) in criteria.into_iter().zip(members) {
            assert_eq!(shop.members(key).await, expected, "{criteria} at {as_of}");
            for _ in 0..2 {
                let seen = segments::preview(&warm, criteria, time(as_of)).await;
                assert_eq!(
                    seen.unwrap().count,
                    expected.len() as u64,
                    "{criteria} at {as_of}"
                );
            }
        }
        assert_eq!(shop.refresh(as_of, true).await, 0, "{as_of}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_is_encrypted_and_goes_with_its_person() {
    let shop = shop("consents-proof").await;
    let folder = shop.lake.path("lake");
    let opened = async || texts(&folder).await.iter().any(|(_, text)| text == PROOF);
    assert!(opened().await);
    assert!(!holds(&folder, PROOF));
    assert_eq!(
        shop.value("select proof from consents where external_id = 'c2'"),
        PROOF
    );
    shop.lake
        .json(&["person", "erase", &shop.person("b").to_string()]);
    assert!(!opened().await);
    assert_eq!(shop.value("select count(*) from consents"), 6);
}
