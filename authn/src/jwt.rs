//! JSON Web Tokens in their compact form (RFC 7515, 7519): three parts, a signature over the first two, and claims
//! whose times may be a minute off.

use crate::PublicKey;
use api::{Value, json};
use base64::Engine;
use base64::engine::general_purpose::GeneralPurpose;
use base64::engine::{DecodePaddingMode, GeneralPurposeConfig};
use stdx::Time;

/// How far clocks may be apart.
pub const LEEWAY_SECS: i64 = 60;
/// Go's decoder does not mind what the unused bits of the last character are.
pub const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone),
);

/// A token taken apart. Nothing of it is to be believed before a key verified it.
#[derive(Clone, Debug)]
pub struct Jwt<'a> {
    algorithm: String,
    /// The name of the key that signed it; may be empty.
    pub key_id: String,
    /// What it says.
    pub claims: Value,
    signed: &'a str,
    signature: Vec<u8>,
}

/// Why a token is not good now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Untimely {
    NotYet,
    Expired,
    IssuedLater,
}

impl<'a> Jwt<'a> {
    /// `None` for what is no token of this form. Headers that it says must be understood are not, so it is none.
    pub fn parse(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.').filter(|(_, claims)| !claims.contains('.'))?;
        let part = |text: &str| json::parse(&BASE64.decode(text).ok()?).ok();
        let header = part(header)?;
        let algorithm = header.str_at(&["alg"]).to_owned();
        if algorithm.is_empty() || header.get("crit").is_some() {
            return None;
        }
        let key_id = header.str_at(&["kid"]).to_owned();
        Some(Jwt {
            algorithm,
            key_id,
            claims: part(claims)?,
            signed,
            signature: BASE64.decode(signature).ok()?,
        })
    }

    /// The algorithm that it says it is signed by.
    pub fn algorithm(&self) -> &str {
        &self.algorithm
    }

    /// Whether the holder of `key` signed it.
    pub fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verifies(&self.algorithm, self.signed.as_bytes(), &self.signature)
    }

    /// For whom it is: `aud`, one text or a list of them.
    pub fn audiences(&self) -> Vec<String> {
        match self.claims.get("aud") {
            Some(Value::List(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            Some(one) => one.as_str().map(str::to_owned).into_iter().collect(),
            None => Vec::new(),
        }
    }

    /// Whether its times are right. Claims that are not there do not count; those that are no numbers are refused.
    pub fn check_times(&self, now: Time) -> Result<(), Untimely> {
        let time = |name: &str, wrong| match self.claims.get(name).filter(|value| !value.is_null()) {
            Some(value) => seconds(value).map(Some).ok_or(wrong),
            None => Ok(None),
        };
        if time("nbf", Untimely::NotYet)?.is_some_and(|starts| now.secs.saturating_add(LEEWAY_SECS) < starts)
        {
            return Err(Untimely::NotYet);
        }
        let last = (now.secs.saturating_sub(LEEWAY_SECS), now.nanos);
        if time("exp", Untimely::Expired)?.is_some_and(|ends| last > (ends, 0)) {
            return Err(Untimely::Expired);
        }
        if time("iat", Untimely::IssuedLater)?.is_some_and(|made| now.secs.saturating_add(LEEWAY_SECS) < made)
        {
            return Err(Untimely::IssuedLater);
        }
        Ok(())
    }
}

/// A time of claims in whole Unix seconds.
pub fn seconds(value: &Value) -> Option<i64> {
    match value {
        Value::Float(secs) if secs.is_finite() => Some(secs.trunc() as i64),
        value => value.as_i64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use api::tree;

    fn token(header: &str, claims: &Value) -> String {
        format!("{}.{}.AAAA", BASE64.encode(header), BASE64.encode(json::to_vec(claims)))
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = token(r#"{"alg":"ES256","kid":"k"}"#, &tree!({"aud": "a"}));
        let parsed = Jwt::parse(&good).unwrap();
        assert_eq!((parsed.key_id.as_str(), parsed.audiences()), ("k", vec!["a".to_owned()]));
        let none = token("{}", &tree!({}));
        let critical = token(r#"{"alg":"ES256","crit":["x"]}"#, &tree!({}));
        for wrong in ["", ".", "..", "a.b.c", "a.b.c.d", &good[1..], &format!("{good}.a"), &none, &critical] {
            assert!(Jwt::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn times_may_be_a_minute_off() {
        let text = token(r#"{"alg":"ES256"}"#, &tree!({"exp": 1000, "nbf": 500, "iat": 600}));
        let token = Jwt::parse(&text).unwrap();
        let at = |secs| token.check_times(Time::from_secs(secs));
        assert_eq!((at(540), at(1060)), (Ok(()), Ok(())));
        assert_eq!(
            (at(439), at(539), at(1061)),
            (Err(Untimely::NotYet), Err(Untimely::IssuedLater), Err(Untimely::Expired))
        );
        let endless = Jwt::parse("eyJhbGciOiJFUzI1NiJ9.e30.AAAA").unwrap();
        assert_eq!(endless.check_times(Time::from_secs(i64::MAX)), Ok(()));
    }
}
