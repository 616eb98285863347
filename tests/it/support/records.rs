//! Records of several providers in a lake, and the persons that they are linked to.

use serde_json::{Value, json};

use super::own_lake::OwnLake;

/// The columns of a file of persons.
pub(crate) const PERSONS: &str = "external_id,email,phone,first_name,last_name,address_line1,city,postal_code,country,created_at,updated_at";

/// A lake into which files of providers are ingested.
pub(crate) struct World {
    pub(crate) lake: OwnLake,
    files: usize,
}

impl World {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            lake: OwnLake::new(name),
            files: 0,
        }
    }

    pub(crate) fn persons(&mut self, provider: &str, rows: &[&str]) -> Value {
        self.take_in(provider, "persons", PERSONS, rows)
    }

    pub(crate) fn take_in(
        &mut self,
        provider: &str,
        table: &str,
        header: &str,
        rows: &[&str],
    ) -> Value {
        self.files += 1;
        let name = format!("{}/{table}.csv", self.files);
        let file = self
            .lake
            .write(&name, &format!("{header}\n{}\n", rows.join("\n")));
        let queries = concat!(env!("CARGO_MANIFEST_DIR"), "/../queries/mappings/native");
        let file = file.to_str().unwrap().to_owned();
        self.lake
            .json(&["ingest", provider, &file, "--mappings", queries])
    }

    /// The records of each person, in order.
    pub(crate) fn persons_of(&self) -> Vec<String> {
        let rows = self.lake.sql(
            "select string_agg(provider || ':' || external_id, ' ' order by provider, external_id) \
             as records from identities where person_id <> 0 group by person_id",
        );
        let mut all: Vec<String> = rows
            .iter()
            .map(|row| row["records"].as_str().unwrap().to_owned())
            .collect();
        all.sort_unstable();
        all
    }

    pub(crate) fn person(&self, provider: &str, id: &str) -> i64 {
        self.lake
            .value(&format!(
                "select person_id from identities where provider = '{provider}' and external_id = '{id}'"
            ))
            .as_i64()
            .unwrap()
    }

    pub(crate) fn record(&self, provider: &str, id: &str) -> String {
        self.lake
            .value(&format!(
                "select identity_id from identities where provider = '{provider}' and external_id = '{id}'"
            ))
            .to_string()
    }

    pub(crate) fn identity(&self, arguments: &[&str]) -> Value {
        let all: Vec<&str> = std::iter::once("identity")
            .chain(arguments.iter().copied())
            .collect();
        self.lake.json(&all)
    }
}

/// Ann at the shop and in the CRM; Bob; and a record with Ann's address and Bob's phone number.
pub(crate) fn with_a_bridge(name: &str) -> World {
    let mut world = World::new(name);
    world.persons(
        "shopify",
        &[
            "s1,ann@example.com,,Ann,Lee,,,,US,2024-01-01,2024-01-01",
            "s2,,+4930123456,Bob,Ray,,,,DE,2024-01-02,2024-01-02",
            "s3,cy@example.com,,Cy,Day,12 Main Street,Boston,2134,US,2024-01-03,2024-01-03",
        ],
    );
    world.take_in(
        "shopify",
        "orders",
        "external_id,person_external_id,status,currency,total,placed_at,paid_at",
        &[
            "o1,s1,paid,EUR,10.00,2024-02-01,2024-02-01",
            "o2,s2,paid,EUR,20.00,2024-02-02,2024-02-02",
            "o3,s3,paid,EUR,40.00,2024-02-03,2024-02-03",
        ],
    );
    let done = world.persons(
        "hubspot",
        &[
            "h1,ANN@example.com ,(415) 555-2671,Annie,Lee,,,,US,2024-03-01,2024-03-01",
            "h2,ann@example.com,+49 30 123456,Annie,Lee,,,,US,2024-03-02,2024-03-02",
            "h3,,,Cy J.,Day,12 Main St.,boston,02134,US,2024-03-03,2024-03-03",
        ],
    );
    let counts = json!({"created": 0, "linked": 2, "ambiguous": 1, "moved": 0});
    assert_eq!(done["records"], counts);
    world
}
