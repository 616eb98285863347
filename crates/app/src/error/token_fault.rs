//! Why a JWT is refused.

/// Why a JWT is refused. Its text tells no secret: who signs tokens knows all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// It is longer than a token may be.
    #[error("the token is longer than {max} bytes")]
    TooLong {
        /// The limit.
        max: usize,
    },
    /// It is not three parts of base64url with an object in each of the first two.
    #[error("the token is not a signed JWT: three parts, a JSON object in each of the first two")]
    Malformed,
    /// A name is twice in one object.
    #[error("the token has a name twice in one JSON object")]
    Repeated,
    /// Its header has a member that would change how it is checked.
    #[error("the header of the token has `{member}`, which this server does not accept")]
    Header {
        /// The member.
        member: &'static str,
    },
    /// It is a token for another purpose.
    #[error("the `typ` of the token is neither `JWT` nor `at+jwt`")]
    Type,
    /// It is not signed, or with an algorithm that is not accepted.
    #[error("the token is signed with none of RS256, ES256 and EdDSA")]
    Algorithm,
    /// Its key is for another algorithm than the token names.
    #[error("the key of the token is for another algorithm")]
    OtherAlgorithm,
    /// It names no key, and there are several.
    #[error("the token names no key (`kid`), and its issuer has several")]
    NoKeyNamed,
    /// It names a key that its issuer does not have.
    #[error("the issuer has no key with the `kid` of the token")]
    UnknownKey,
    /// The keys of the issuer were never read, or too long ago.
    #[error("the keys of the issuer cannot be read at present")]
    NoKeys,
    /// It was changed, or signed by somebody else.
    #[error("the signature of the token is wrong")]
    Signature,
    /// A claim is missing, or is not what it has to be.
    #[error("the claim `{claim}` of the token is missing or has a wrong type")]
    Claim {
        /// The name of the claim.
        claim: String,
    },
    /// Its time is over.
    #[error("the token has expired (`exp`)")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet (`nbf`)")]
    NotYetValid,
    /// It is from another issuer.
    #[error("the token is from another issuer (`iss`)")]
    Issuer,
    /// It is for another server.
    #[error("the token is for another audience (`aud`)")]
    Audience,
    /// It names a role that does not exist.
    #[error("the claim `{claim}` of the token names none of the roles {known}")]
    Role {
        /// The name of the claim.
        claim: String,
        /// The roles.
        known: String,
    },
}
