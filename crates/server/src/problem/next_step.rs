//! Hints: the next step after an error, as a route.

use rollbook_app::NextStep;

/// The next step for an API client; `None` if a client cannot do anything about it.
pub(crate) fn as_route(step: &NextStep) -> Option<String> {
    let text = match step {
        NextStep::Words(words) => words,
        NextStep::MakeLake => "`POST /v1/ingest/{provider}/{source}` creates one",
        NextStep::Again => "send it again in a moment",
        NextStep::ListSnapshots => "leave `snapshot` out for the newest",
        NextStep::KeepSnapshots => {
            "leave `snapshot` out for the newest; the setting `snapshot_days` says how long snapshots are kept"
        }
        NextStep::ListSegments => "`GET /v1/segments` lists them all",
        NextStep::Refresh(segment) => {
            return Some(format!(
                "`POST /v1/segments/{segment}/refresh` computes them"
            ));
        }
        NextStep::ListTables => "`GET /v1/tables` lists the tables",
        NextStep::ListSchema => "`GET /v1/schema` lists them all",
        NextStep::ListColumns => {
            "`GET /v1/schema` lists the columns; text is written in single quotes, `'like this'`"
        }
        NextStep::ListRecords => "`POST /v1/sql` lists them in `identities`",
        NextStep::ListReviews => "`GET /v1/identity/reviews` lists the records that wait",
        NextStep::ListDecisions => "`POST /v1/sql` lists them in `identity_log`",
        NextStep::ListKeys => "`GET /v1/keys` lists them all",
        NextStep::CreateKey => {
            "the command `api-key create` creates one, on a machine that has the lake"
        }
        NextStep::SendKey => {
            "send `authorization: Bearer rbk_…`; an administrator creates keys with `POST /v1/keys`"
        }
        NextStep::StartSession => "`POST /v1/session` starts one, with a key or a JWT",
        NextStep::AskForRight(right) => {
            return Some(format!(
                "ask an administrator for a key with the right `{right}`: `POST /v1/keys` creates one"
            ));
        }
        NextStep::NameTenant => {
            "name one with `x-rollbook-tenant`; `GET /v1/tenants` lists those of the caller"
        }
        NextStep::ListTenants => "`GET /v1/tenants` lists those of the caller",
        NextStep::OwnMappings => "the operator of the server can add custom mappings",
        NextStep::Train(_) | NextStep::Score(_) => {
            "no route computes scores: the operator of the server can"
        }
        NextStep::ListSnapshotNames
        | NextStep::ListBatches
        | NextStep::ListBlocked
        | NextStep::ListSecrets
        | NextStep::ListRefused => return None,
    };
    Some(text.to_owned())
}

#[cfg(test)]
mod tests {
    use rollbook_app::NextStep;
    use rollbook_app::scores::ScoreKind;

    use super::as_route;
    use crate::routes;

    #[test]
    fn hints_name_existing_routes() {
        let key = "vip".parse().unwrap();
        let steps = [
            NextStep::MakeLake,
            NextStep::Again,
            NextStep::ListSnapshots,
            NextStep::KeepSnapshots,
            NextStep::ListSegments,
            NextStep::Refresh(key),
            NextStep::ListTables,
            NextStep::ListSchema,
            NextStep::ListColumns,
            NextStep::ListRecords,
            NextStep::ListReviews,
            NextStep::ListDecisions,
            NextStep::ListKeys,
            NextStep::CreateKey,
            NextStep::SendKey,
            NextStep::StartSession,
            NextStep::AskForRight("sql"),
            NextStep::NameTenant,
            NextStep::ListTenants,
            NextStep::OwnMappings,
            NextStep::Train(ScoreKind::Lead),
            NextStep::Score(ScoreKind::Churn),
        ];
        let (_, document) = routes::all().split_for_parts();
        let document = serde_json::to_value(&document).unwrap();
        let mut named = 0;
        for step in &steps {
            let said = as_route(step).unwrap();
            assert!(!said.contains("`rollbook"), "{said}");
            for method in ["GET", "POST"] {
                let route = said.split_once(&format!("`{method} "));
                let Some((_, rest)) = route else { continue };
                let path = rest.split('`').next().unwrap().replace("vip", "{key}");
                let operation = &document["paths"][&path][method.to_lowercase()];
                assert!(operation.is_object(), "{said}");
                named += 1;
            }
        }
        assert_eq!(named, 15);
    }
}
