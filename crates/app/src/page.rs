//! Page tokens: what a page rests on and where it ended, sealed so that nobody can make one up.

use hmac::{Hmac, Mac};
use rollbook_lake::Lake;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::Sha256;

use crate::AppError;

/// What the key of page tokens is derived by from the tenant's. No text that anybody sends is put
/// through that key with a control character in front, so nobody is given what this gives.
const PURPOSE: &[u8] = b"\0rollbook key of page tokens 2\0";
const SEAL_BYTES: usize = 16;

/// Text that carries `content` and is only opened where the same tenant's key made it.
pub(crate) async fn seal<T: Serialize>(lake: &Lake, content: &T) -> Result<String, AppError> {
    let json = serde_json::to_vec(content).map_err(|_| AppError::ForgedPageToken)?;
    let mut bytes = signature(lake, &json).await?;
    bytes.extend(json);
    Ok(hex::encode(&bytes))
}

/// What [`seal`] carried.
pub(crate) async fn open<T: DeserializeOwned>(lake: &Lake, token: &str) -> Result<T, AppError> {
    let bytes = hex::decode(token).map_err(|_| AppError::ForgedPageToken)?;
    if bytes.len() < SEAL_BYTES {
        return Err(AppError::ForgedPageToken);
    }
    let (seal, json) = bytes.split_at(SEAL_BYTES);
    let key = lake.token_key_or_new().await?;
    let mut mac = mac(&key);
    mac.update(json);
    // Compares in constant time.
    mac.verify_truncated_left(seal)
        .map_err(|_| AppError::ForgedPageToken)?;
    serde_json::from_slice(json).map_err(|_| AppError::ForgedPageToken)
}

async fn signature(lake: &Lake, json: &[u8]) -> Result<Vec<u8>, AppError> {
    let key = lake.token_key_or_new().await?;
    let mut mac = mac(&key);
    mac.update(json);
    Ok(mac.finalize().into_bytes()[..SEAL_BYTES].to_vec())
}

fn mac(key: &[u8]) -> Hmac<Sha256> {
    let keyed = |key: &[u8]| Hmac::<Sha256>::new_from_slice(key);
    let mut derived = keyed(key).expect("a key of any length will do");
    derived.update(PURPOSE);
    keyed(&derived.finalize().into_bytes()).expect("a key of any length will do")
}

#[cfg(test)]
mod tests {
    use rollbook_lake::Lake;

    use super::{open, seal};

    #[tokio::test]
    async fn only_sealed_page_tokens_open() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let lake = Lake::open_or_new(place, "a".parse().unwrap())
            .await
            .unwrap();
        let other = Lake::open_or_new(place, "b".parse().unwrap())
            .await
            .unwrap();
        let token = seal(&lake, &("vip", 7)).await.unwrap();
        let opened: (String, i64) = open(&lake, &token).await.unwrap();
        assert_eq!(opened, ("vip".to_owned(), 7));
        assert!(open::<(String, i64)>(&other, &token).await.is_err());
        for at in 0..token.len() {
            let mut forged = token.clone().into_bytes();
            forged[at] = if forged[at] == b'0' { b'1' } else { b'0' };
            let forged = String::from_utf8(forged).unwrap();
            assert!(
                open::<(String, i64)>(&lake, &forged).await.is_err(),
                "at {at}"
            );
        }
        for nonsense in ["", "abc", "zz", "é0"] {
            assert!(open::<(String, i64)>(&lake, nonsense).await.is_err());
        }
    }
}
