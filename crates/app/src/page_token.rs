//! Page tokens: the state that pages are read from and the position reached, encrypted under a key of the tenant, so that
//! callers can neither read nor forge one.

use rollbook_lake::Lake;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::AppError;

/// What the tokens are for. Texts of callers that go through the tenant's key never start with a control character.
const PURPOSE: &str = "\0rollbook page tokens 3\0";

/// A token that carries `content`. Equal contents have equal tokens.
pub(crate) async fn seal<T: Serialize>(lake: &Lake, content: &T) -> Result<String, AppError> {
    let json = serde_json::to_vec(content).map_err(|_| AppError::ForgedPageToken)?;
    Ok(hex::encode(lake.seal_for_callers(PURPOSE, &json).await?))
}

/// The content of a token.
///
/// # Errors
/// [`AppError::ForgedPageToken`] if the token was not made by [`seal`] with the same tenant's key.
pub(crate) async fn open<T: DeserializeOwned>(lake: &Lake, token: &str) -> Result<T, AppError> {
    let sealed = hex::decode(token).map_err(|_| AppError::ForgedPageToken)?;
    let opened = lake.open_from_caller(PURPOSE, &sealed).await?;
    let json = opened.ok_or(AppError::ForgedPageToken)?;
    serde_json::from_slice(&json).map_err(|_| AppError::ForgedPageToken)
}

#[cfg(test)]
mod tests {
    use rollbook_lake::Lake;

    use super::{open, seal};

    #[tokio::test]
    async fn forged_tokens_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let location = folder.path().to_str().unwrap();
        let lake = Lake::open_or_new(location, "a".parse().unwrap())
            .await
            .unwrap();
        let other = Lake::open_or_new(location, "b".parse().unwrap())
            .await
            .unwrap();
        let token = seal(&lake, &("vip", 7)).await.unwrap();
        assert_eq!(token, seal(&lake, &("vip", 7)).await.unwrap());
        let bytes = hex::decode(&token).unwrap();
        assert!(!String::from_utf8_lossy(&bytes).contains("vip"));
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
