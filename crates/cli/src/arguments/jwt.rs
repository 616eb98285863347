//! The arguments of `serve` about JWT.

use clap::Args;
use rollbook_app::access::{JwksSource, JwtOptions};

#[derive(Debug, Args)]
#[command(next_help_heading = "JWT")]
pub(crate) struct Jwt {
    /// Accept JWTs that a key of this set has signed (RS256, ES256, EdDSA): a file, or a URL
    ///
    /// A file is read again when it changes. A URL (https, or http on this machine) is fetched again every 5 minutes,
    /// or as its cache-control says, and when a token names a key that is not known. Every request then needs a JWT or
    /// an API key. docs/SECURITY.md says what a token has to be like.
    #[arg(long, value_name = "FILE|URL", requires_all = ["issuer", "audience"])]
    pub(crate) jwks: Option<JwksSource>,
    /// The issuer of the tokens: their claim `iss`
    #[arg(long, value_name = "ISSUER", requires = "jwks")]
    pub(crate) issuer: Option<String>,
    /// What the claim `aud` of the tokens has to name
    #[arg(long, value_name = "AUDIENCE", requires = "jwks")]
    pub(crate) audience: Option<String>,
    /// The claim of the tokens that has the tenant, or several
    #[arg(long, value_name = "CLAIM", default_value = "tenant")]
    pub(crate) tenant_claim: String,
    /// The claim of the tokens that has the role
    #[arg(long, value_name = "CLAIM", default_value = "role")]
    pub(crate) role_claim: String,
}

impl Jwt {
    /// Whose JWTs are accepted, if any.
    pub(crate) fn options(self) -> Option<JwtOptions> {
        Some(JwtOptions {
            jwks: self.jwks?,
            issuer: self.issuer?,
            audience: self.audience?,
            tenant_claim: self.tenant_claim,
            role_claim: self.role_claim,
        })
    }
}
