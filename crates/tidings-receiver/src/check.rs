//! Judges a request: token, signature, message. Decides the answer, performs nothing.
//!
//! Everything is looked at, so that `errors` is complete; the answer is for what comes first: no
//! valid token 401, no matching signature 401, no acceptable message 400, else 200.
//! The signature is checked over the body's exact bytes, before and apart from reading them as JSON.

use crate::{
    received::SignatureCheck,
    reply::{Answer, media_type},
    settings::{Strictness, VerifyRule},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use tidings_wire::{DecodeError, Decoded, Decoder, Key, Message, decode::Problems};

/// What a request turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// A message that passed every check.
    Accepted,
    /// A token request that was granted.
    Token,
    /// No valid token, or a token request that was refused.
    Unauthorized,
    /// The signature is missing or wrong.
    BadSignature,
    /// Not an acceptable message.
    Invalid,
}

/// The judgement of one request.
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) answer: Answer,
    pub(crate) message: Option<Message>,
    pub(crate) signature: SignatureCheck,
    pub(crate) valid: bool,
    pub(crate) errors: Vec<String>,
}

impl Verdict {
    /// A request that is refused before it is looked at as a message.
    pub(crate) const fn refused(outcome: Outcome, answer: Answer, errors: Vec<String>) -> Self {
        Self {
            outcome,
            answer,
            message: None,
            signature: SignatureCheck::None,
            valid: false,
            errors,
        }
    }

    /// A token request that is granted.
    pub(crate) const fn token(answer: Answer) -> Self {
        Self {
            outcome: Outcome::Token,
            answer,
            message: None,
            signature: SignatureCheck::None,
            valid: true,
            errors: Vec::new(),
        }
    }
}

/// What is demanded of a message.
#[derive(Debug)]
pub(crate) struct Checks {
    /// The keys accepted for each header.
    signatures: Vec<(HeaderName, Vec<Key>)>,
    decoder: Decoder,
    /// Refuse what would only be reported.
    refuses_oddities: bool,
}

impl Checks {
    pub(crate) fn new(
        rules: Vec<VerifyRule>,
        strictness: Strictness,
        destination_key: Option<String>,
    ) -> Self {
        let mut signatures: Vec<(HeaderName, Vec<Key>)> = Vec::new();
        for VerifyRule { header, key } in rules {
            match signatures.iter_mut().find(|(name, _)| *name == header) {
                Some((_, keys)) => keys.push(key),
                None => signatures.push((header, vec![key])),
            }
        }
        let refuses_oddities = strictness != Strictness::Tolerant;
        let decoder = match (strictness, destination_key) {
            (Strictness::Exact(options), _) => Decoder::strict(options),
            (Strictness::Tolerant | Strictness::Strict, Some(key)) => {
                Decoder::tolerant_with_key(key)
            }
            (Strictness::Tolerant | Strictness::Strict, None) => Decoder::tolerant(),
        };
        Self {
            signatures,
            decoder,
            refuses_oddities,
        }
    }

    /// Judges a message with these headers and body.
    pub(crate) fn judge(&self, headers: &HeaderMap, body: &[u8], is_authorized: bool) -> Verdict {
        let mut errors = Vec::new();
        if !is_authorized {
            errors.push("Authorization: no valid bearer token".to_owned());
        }
        let signature = self.check_signature(headers, body, &mut errors, "body");
        let (message, valid) = self.check_message(headers, body, &mut errors);
        self.verdict(is_authorized, signature, message, valid, errors)
    }

    /// Judges a GET request of this path and query, which tells this.
    pub(crate) fn judge_get(
        &self,
        headers: &HeaderMap,
        target: &str,
        told: Option<Message>,
        is_authorized: bool,
    ) -> Verdict {
        let mut errors = Vec::new();
        if !is_authorized {
            errors.push("Authorization: no valid bearer token".to_owned());
        }
        let signature =
            self.check_signature(headers, target.as_bytes(), &mut errors, "path and query");
        let valid = told.is_some();
        if !valid {
            errors.push("path and query are not of the template".to_owned());
        }
        self.verdict(is_authorized, signature, told, valid, errors)
    }

    fn verdict(
        &self,
        is_authorized: bool,
        signature: SignatureCheck,
        message: Option<Message>,
        valid: bool,
        errors: Vec<String>,
    ) -> Verdict {
        let is_signed = self.signatures.is_empty() || signature == SignatureCheck::Ok;
        let (outcome, answer) = if !is_authorized {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            let answer = Answer::errors(StatusCode::UNAUTHORIZED, &errors)
                .with(header::WWW_AUTHENTICATE, challenge);
            (Outcome::Unauthorized, answer)
        } else if !is_signed {
            let answer = Answer::errors(StatusCode::UNAUTHORIZED, &errors);
            (Outcome::BadSignature, answer)
        } else if !valid {
            let answer = Answer::errors(StatusCode::BAD_REQUEST, &errors);
            (Outcome::Invalid, answer)
        } else {
            (Outcome::Accepted, Answer::status(StatusCode::OK))
        };
        Verdict {
            outcome,
            answer,
            message,
            signature,
            valid,
            errors,
        }
    }

    fn check_signature(
        &self,
        headers: &HeaderMap,
        signed: &[u8],
        errors: &mut Vec<String>,
        what: &str,
    ) -> SignatureCheck {
        let mut found = SignatureCheck::None;
        let mut is_missing = false;
        for (name, keys) in &self.signatures {
            if !headers.contains_key(name) {
                is_missing = true;
                errors.push(format!("{name}: the signature is missing"));
                continue;
            }
            let values = || {
                headers
                    .get_all(name)
                    .iter()
                    .filter_map(|value| value.to_str().ok())
            };
            let is_match = values().any(|value| keys.iter().any(|key| key.verify(signed, value)));
            if !is_match {
                found = SignatureCheck::Bad;
                errors.push(format!("{name}: the signature does not match the {what}"));
            } else if found == SignatureCheck::None {
                found = SignatureCheck::Ok;
            }
        }
        if is_missing && found == SignatureCheck::Ok {
            SignatureCheck::None
        } else {
            found
        }
    }

    /// The message and whether it is acceptable; what is only reported does not make it less so.
    fn check_message(
        &self,
        headers: &HeaderMap,
        body: &[u8],
        errors: &mut Vec<String>,
    ) -> (Option<Message>, bool) {
        let is_json = media_type(headers)
            .is_some_and(|media_type| media_type.eq_ignore_ascii_case("application/json"));
        if !is_json {
            errors.push("Content-Type: not application/json".to_owned());
        }
        match self.decoder.decode(body) {
            Ok(Decoded { message, warnings }) => {
                let is_odd = !is_json || !warnings.is_empty();
                list(&warnings, errors);
                (Some(message), !(is_odd && self.refuses_oddities))
            }
            Err(DecodeError::Invalid(problems)) => {
                list(&problems, errors);
                (None, false)
            }
            Err(error) => {
                errors.push(error.to_string());
                (None, false)
            }
        }
    }
}

fn list(problems: &Problems, errors: &mut Vec<String>) {
    errors.extend(problems.listed().iter().map(ToString::to_string));
    if problems.omitted() > 0 {
        errors.push(format!("and {} more", problems.omitted()));
    }
}
