use rollbook_model::config::Limits;
use rollbook_model::{TenantName, Timestamp};

use super::{ServedTenants, TenantStatus, Tenants};
use crate::{AppError, QuotaChange, Quotas, Workspace};

fn at() -> Timestamp {
    Timestamp::from_micros(1_700_000_000_000_000)
}

fn name(name: &str) -> TenantName {
    name.parse().unwrap()
}

fn workspace(folder: &tempfile::TempDir) -> Workspace {
    let location = folder.path().to_str().unwrap().to_owned();
    Workspace::new(location, name("default"), Limits::default())
}

#[tokio::test]
async fn tenants_are_created_limited_suspended_and_deleted() {
    let folder = tempfile::tempdir().unwrap();
    let workspace = workspace(&folder);
    let tenants = Tenants::of(&workspace).unwrap();
    assert_eq!(tenants.list().await.unwrap(), []);
    let (one, other) = (name("one"), name("other"));
    let created = tenants.create(&one, Quotas::default(), at()).await.unwrap();
    assert_eq!(
        (created.status, created.created_at),
        (TenantStatus::Active, Some(at()))
    );
    let again = tenants.create(&one, Quotas::default(), at()).await;
    assert!(matches!(again, Err(AppError::TenantExists { .. })));
    // A tenant that was never created by a command.
    let store = workspace.root().unwrap().store().clone();
    store.put_over("other/orders/x", b"row").await.unwrap();
    store
        .put_over("_access/keys/x", b"no tenant")
        .await
        .unwrap();
    let listed = tenants.list().await.unwrap();
    let names: Vec<_> = listed
        .iter()
        .map(|one| (one.tenant.as_str(), one.created_at))
        .collect();
    assert_eq!(names, [("one", Some(at())), ("other", None)]);
    let again = tenants.create(&other, Quotas::default(), at()).await;
    assert!(matches!(again, Err(AppError::TenantExists { .. })));

    let served = ServedTenants::of(&workspace).unwrap();
    let change = QuotaChange {
        segments: Some(Some(3)),
        ..QuotaChange::default()
    };
    let limited = tenants.limit(&other, &change).await.unwrap();
    assert_eq!(limited.quotas.segments, Some(3));
    assert_eq!(served.find(&other).await.unwrap().quotas, limited.quotas);
    tenants.suspend(&other).await.unwrap();
    // The server knows within a second.
    served.find(&other).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(850)).await;
    let refused = served.find(&other).await;
    assert!(matches!(refused, Err(AppError::TenantSuspended)));
    tenants.resume(&other).await.unwrap();
    served.forget().await;
    assert_eq!(served.find(&other).await.unwrap().quotas, limited.quotas);

    let removed = tenants.delete(&other).await.unwrap();
    assert_eq!((removed.objects, removed.bytes), (1, 3));
    let refused = served.find(&other).await;
    assert!(matches!(refused, Err(AppError::UnknownTenant { .. })));
    for refused in [
        tenants.create(&other, Quotas::default(), at()).await,
        tenants.resume(&other).await,
    ] {
        assert!(matches!(refused, Err(AppError::TenantDeleted { .. })));
    }
    assert!(tenants.check_name(&other).await.is_err());
    tenants.check_name(&one).await.unwrap();
    // After an interruption it is repeated.
    store.put_over("other/orders/late", b"row").await.unwrap();
    assert_eq!(tenants.delete(&other).await.unwrap().objects, 1);
    let unknown = tenants.delete(&name("nobody")).await;
    assert!(matches!(unknown, Err(AppError::UnknownTenant { .. })));
    let listed = tenants.list().await.unwrap();
    assert_eq!(listed.len(), 1);
    // A tenant that nobody knows of is served: its first rows create it.
    let new = served.find(&name("new")).await.unwrap();
    assert_eq!(new.quotas, Quotas::default());
}

#[tokio::test]
async fn changes_at_once_are_all_made() {
    let folder = tempfile::tempdir().unwrap();
    let tenants = Tenants::of(&workspace(&folder)).unwrap();
    let one = name("one");
    tenants.create(&one, Quotas::default(), at()).await.unwrap();
    let rows = QuotaChange {
        rows_per_day: Some(Some(1)),
        ..QuotaChange::default()
    };
    let queries = QuotaChange {
        queries: Some(Some(2)),
        ..QuotaChange::default()
    };
    let storage = QuotaChange {
        storage_bytes: Some(Some(3)),
        ..QuotaChange::default()
    };
    let (a, b, c) = tokio::join!(
        tenants.limit(&one, &rows),
        tenants.limit(&one, &queries),
        tenants.limit(&one, &storage)
    );
    a.and(b).and(c).unwrap();
    let listed = tenants.list_with_usage(at()).await.unwrap();
    let quotas = Quotas {
        rows_per_day: Some(1),
        queries: Some(2),
        storage_bytes: Some(3),
        ..Quotas::default()
    };
    assert_eq!(listed[0].info.quotas, quotas);
    assert_eq!(listed[0].usage, super::Usage::default());
}
