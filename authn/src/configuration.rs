//! An `AuthenticationConfiguration`: which issuers' tokens are believed, what makes a user of their claims, and where one
//! may be nobody. From a file, or put together from the flags `--oidc-…`.

mod validation;

use api::cel::Program;
use api::configuration::{Form, read};
use api::{Value, tree};
use std::sync::Arc;

/// Every algorithm that an issuer may sign with; a file allows them all.
pub const SIGNING_ALGORITHMS: [&str; 9] =
    ["ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512"];

/// An AuthenticationConfiguration in which nothing is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Configuration {
    pub jwt: Vec<JwtAuthenticator>,
    /// `None` leaves it to `--anonymous-auth`.
    pub anonymous: Option<Anonymous>,
}

/// Whether requests without credentials are let in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Anonymous {
    pub enabled: bool,
    /// Where; empty for everywhere.
    pub paths: Vec<String>,
}

/// One issuer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct JwtAuthenticator {
    pub url: String,
    /// Where its discovery document is; empty for below the URL.
    pub discovery_url: String,
    /// PEM certificates that its server may come from; the machine's own when empty.
    pub certificate_authority: String,
    pub audiences: Vec<String>,
    pub signing_algorithms: Vec<String>,
    /// Claims that must have a value.
    pub required_claims: Vec<(String, String)>,
    /// What must hold of the claims.
    pub claim_rules: Vec<Rule>,
    pub username: Mapping,
    pub groups: Option<Mapping>,
    pub uid: Option<Mapping>,
    pub extra: Vec<(String, Expression)>,
    /// What must hold of the user.
    pub user_rules: Vec<Rule>,
}

/// Where something about the user comes from.
#[derive(Clone, Debug, PartialEq)]
pub enum Mapping {
    Claim { claim: String, prefix: String },
    Expression(Expression),
}

impl Default for Mapping {
    fn default() -> Self {
        Mapping::Claim { claim: String::new(), prefix: String::new() }
    }
}

/// An expression that must be true, and what is said when it is not.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub expression: Expression,
    pub message: String,
}

/// A compiled expression over `claims` or `user`.
#[derive(Clone, Debug)]
pub struct Expression {
    pub text: String,
    pub program: Arc<Program>,
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

/// What the flags `--oidc-…` say.
#[derive(Clone, Debug, Default)]
pub struct OidcFlags {
    pub issuer_url: String,
    pub client_id: String,
    /// PEM.
    pub ca: String,
    pub username_claim: String,
    /// Empty for the usual one, `-` for none.
    pub username_prefix: String,
    pub groups_claim: String,
    pub groups_prefix: String,
    pub signing_algorithms: Vec<String>,
    pub required_claims: Vec<(String, String)>,
}

const FORM: Form = Form {
    kind: "AuthenticationConfiguration",
    versions: &[
        "apiserver.config.k8s.io/v1",
        "apiserver.config.k8s.io/v1beta1",
        "apiserver.config.k8s.io/v1alpha1",
    ],
    table: "v1.AuthenticationConfiguration\n\tkind\ts\n\tapiVersion\ts\n\tjwt\t[v1.JWTAuthenticator\n\
            \tanonymous\tv1.AnonymousAuthConfig\n\
            v1.JWTAuthenticator\n\tissuer\tv1.Issuer\n\tclaimValidationRules\t[v1.ClaimValidationRule\n\
            \tclaimMappings\tv1.ClaimMappings\n\tuserValidationRules\t[v1.UserValidationRule\n\
            v1.Issuer\n\turl\ts\n\tdiscoveryURL\ts\n\tcertificateAuthority\ts\n\taudiences\t[s\n\
            \taudienceMatchPolicy\ts\n\tegressSelectorType\ts\n\
            v1.ClaimValidationRule\n\tclaim\ts\n\trequiredValue\ts\n\texpression\ts\n\tmessage\ts\n\
            v1.ClaimMappings\n\tusername\tv1.PrefixedClaimOrExpression\n\tgroups\tv1.PrefixedClaimOrExpression\n\
            \tuid\tv1.ClaimOrExpression\n\textra\t[v1.ExtraMapping\n\
            v1.PrefixedClaimOrExpression\n\tclaim\ts\n\tprefix\ts\n\texpression\ts\n\
            v1.ClaimOrExpression\n\tclaim\ts\n\texpression\ts\n\
            v1.ExtraMapping\n\tkey\ts\n\tvalueExpression\ts\n\
            v1.UserValidationRule\n\texpression\ts\n\tmessage\ts\n\
            v1.AnonymousAuthConfig\n\tenabled\tb\n\tconditions\t[v1.AnonymousAuthCondition\n\
            v1.AnonymousAuthCondition\n\tpath\ts\n",
};

impl Configuration {
    /// Reads an AuthenticationConfiguration. `disallowed` issuers are those of service accounts.
    ///
    /// # Errors
    /// All that is wrong with it, in upstream's words.
    pub fn parse(text: &[u8], disallowed: &[String]) -> Result<Self, String> {
        if text.is_empty() {
            return Err("empty config data".to_owned());
        }
        Self::of(&read(&FORM, text)?, disallowed, &SIGNING_ALGORITHMS.map(str::to_owned))
    }

    /// What flags say of one issuer.
    ///
    /// # Errors
    /// As `parse`, and for algorithms that there are not.
    pub fn of_flags(flags: &OidcFlags, disallowed: &[String]) -> Result<Self, String> {
        if let Some(unknown) =
            flags.signing_algorithms.iter().find(|name| !SIGNING_ALGORITHMS.contains(&name.as_str()))
        {
            return Err(format!("oidc: unsupported signing alg: {}", api::quote(unknown)));
        }
        let username_prefix = match flags.username_prefix.as_str() {
            "" if flags.username_claim != "email" => format!("{}#", flags.issuer_url),
            "-" => String::new(),
            prefix => prefix.to_owned(),
        };
        let mut mappings = tree!({
            "username": {"claim": flags.username_claim.as_str(), "prefix": username_prefix}
        });
        if !flags.groups_claim.is_empty() {
            let (claim, prefix) = (flags.groups_claim.as_str(), flags.groups_prefix.as_str());
            mappings.set(&["groups"], tree!({"claim": claim, "prefix": prefix}));
        }
        let rule = |(claim, value): &(String, String)| tree!({"claim": claim.as_str(), "requiredValue": value.as_str()});
        let rules: Vec<Value> = flags.required_claims.iter().map(rule).collect();
        let jwt = tree!({
            "issuer": {
                "url": flags.issuer_url.as_str(),
                "audiences": [flags.client_id.as_str()],
                "certificateAuthority": flags.ca.as_str()
            },
            "claimMappings": mappings,
            "claimValidationRules": rules
        });
        Self::of(&tree!({"jwt": [jwt]}), disallowed, &flags.signing_algorithms)
    }

    fn of(value: &Value, disallowed: &[String], algorithms: &[String]) -> Result<Self, String> {
        let (jwt, faults) = validation::validate(value, disallowed, algorithms);
        api::configuration::check(&faults)
            .map_err(|why| format!("invalid authentication configuration: {why}"))?;
        let anonymous = value.get("anonymous").map(|anonymous| Anonymous {
            enabled: anonymous.bool_at(&["enabled"]),
            paths: anonymous
                .list_at(&["conditions"])
                .iter()
                .map(|c| c.str_at(&["path"]).to_owned())
                .collect(),
        });
        Ok(Configuration { jwt, anonymous })
    }
}

#[cfg(test)]
mod tests;
