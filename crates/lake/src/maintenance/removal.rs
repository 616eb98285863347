//! Removal of a tenant: the keys of its values first, then everything else.

use rollbook_model::TenantName;

use crate::LakeError;
use crate::lake::LakeRoot;
use crate::storage::Listed;

/// Rounds of listing and deleting; a writer that had begun may still put objects.
const ROUNDS: usize = 3;
/// The folder of everything that decrypts values, in the tenant's folder.
const VAULT: &str = "_vault";
/// The name of a file with the tenant's key, and of the folder with the keys of identities.
const KEYS: [&str; 2] = ["tenant.key", "_keys/"];

/// What was removed of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RemovedTenant {
    /// Number of objects.
    pub objects: u64,
    /// Their size in bytes.
    pub bytes: u64,
}

impl LakeRoot {
    /// Deletes the keys of a tenant, so that no copy of its encrypted values can be decrypted any more, and then all
    /// its objects. May be repeated after an interruption.
    ///
    /// # Errors
    /// - [`LakeError::Store`], [`LakeError::File`]: the store cannot be read or written.
    pub async fn remove_tenant(&self, tenant: &TenantName) -> Result<RemovedTenant, LakeError> {
        let mut removed = RemovedTenant::default();
        let folder = tenant.as_str();
        for _ in 0..ROUNDS {
            let (keys, others) = split(folder, self.store().walk(folder).await?);
            if keys.is_empty() && others.is_empty() {
                break;
            }
            for some in [keys, others] {
                let paths: Vec<String> = some.iter().map(|one| one.path.clone()).collect();
                self.store().delete_all(&paths).await?;
                removed.objects += some.len() as u64;
                removed.bytes += some.iter().map(|one| one.size).sum::<u64>();
            }
        }
        self.store().remove_folder(folder)?;
        Ok(removed)
    }
}

/// Objects that hold keys, and the others.
fn split(folder: &str, objects: Vec<Listed>) -> (Vec<Listed>, Vec<Listed>) {
    let vault = format!("{folder}/{VAULT}/");
    objects.into_iter().partition(|object| {
        let below = object.path.strip_prefix(&vault);
        below.is_some_and(|below| KEYS.iter().any(|keys| below.starts_with(keys)))
    })
}

#[cfg(test)]
mod tests {
    use rollbook_model::TenantName;

    use super::{RemovedTenant, split};
    use crate::encryption::master::Master;
    use crate::lake::LakeRoot;
    use crate::storage::Store;

    #[tokio::test]
    async fn tenants_are_removed_alone() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::at(folder.path().to_str().unwrap()).unwrap();
        let root = LakeRoot::with_master(store, Master::in_file(&folder.path().join("key")));
        for path in [
            "one/orders/part-1.parquet",
            "one/_vault/_keys/manifests/1.json",
            "one/_vault/tenant.key",
            "one/_vault/persons/1.values",
            "one2/orders/part-1.parquet",
            "_access/keys/a.1.json",
        ] {
            root.store().put_over(path, b"12345").await.unwrap();
        }
        let (keys, others) = split("one", root.store().walk("one").await.unwrap());
        let mut keys: Vec<_> = keys.into_iter().map(|one| one.path).collect();
        keys.sort();
        assert_eq!(
            keys,
            ["one/_vault/_keys/manifests/1.json", "one/_vault/tenant.key"]
        );
        assert_eq!(others.len(), 2);
        let tenant: TenantName = "one".parse().unwrap();
        let (objects, bytes) = (4, 20);
        let removed = root.remove_tenant(&tenant).await.unwrap();
        assert_eq!(removed, RemovedTenant { objects, bytes });
        assert_eq!(root.store().folders("").await.unwrap(), ["_access", "one2"]);
        let again = root.remove_tenant(&tenant).await.unwrap();
        assert_eq!(again, RemovedTenant::default());
    }
}
