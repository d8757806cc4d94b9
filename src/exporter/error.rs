//! What a failed delivery means: whose fault it is, whether to try again, and when.

use std::time::Duration;

/// One failed try.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct DeliveryError {
    /// What happened and what to check.
    pub text: String,
    /// The word that is counted.
    pub reason: &'static str,
    /// What to do.
    pub then: Then,
}

/// What to do with a request that was not delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Try again, after so long if the backend said so.
    Retry(Option<Duration>),
    /// Too large as it is: send it in smaller parts.
    Shrink,
    /// The backend will never take it, and takes nothing for now: the next one waits.
    DropAndWait,
    /// The backend will never take it.
    Drop,
}

/// What the backend took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// Items of the request that it rejected (partial success); it must not be sent again.
    pub rejected: u64,
    /// Its words.
    pub message: String,
}

/// The rules of OTLP 1.11.0, "Failures", for a gRPC code and the words with it.
pub fn then_of_grpc(code: tonic::Code, message: &str, retry_info: Option<Duration>) -> Then {
    use tonic::Code;
    match code {
        Code::Cancelled
        | Code::DeadlineExceeded
        | Code::Aborted
        | Code::OutOfRange
        | Code::Unavailable
        | Code::DataLoss => Then::Retry(retry_info),
        Code::ResourceExhausted if retry_info.is_some() => Then::Retry(retry_info),
        // The code for a quota as well, and then smaller requests would only be more of them.
        Code::ResourceExhausted if says_too_large(message) => Then::Shrink,
        // It must not be sent again (OTLP 1.11.0), but nothing says that what comes next must be lost as well.
        Code::ResourceExhausted => Then::DropAndWait,
        _ => Then::Drop,
    }
}

/// `grpc: received message larger than max (N vs. M)` of grpc-go, `decoded message length too large` of tonic, `message
/// size exceeds` of gRPC for Java and C++.
fn says_too_large(message: &str) -> bool {
    let message = message.to_ascii_lowercase();
    ["larger than", "too large", "exceeds", "message size"].iter().any(|words| message.contains(words))
}

/// The rules of OTLP 1.11.0, "OTLP/HTTP Response", for a status.
pub fn then_of_http(status: u16, retry_after: Option<Duration>) -> Then {
    match status {
        429 | 502 | 503 | 504 => Then::Retry(retry_after),
        413 => Then::Shrink,
        _ => Then::Drop,
    }
}

/// `Retry-After`: seconds, or an HTTP date. Longer than a day is a mistake of the backend.
pub fn retry_after(value: Option<&http::HeaderValue>) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(86_400);
    let text = value?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds).min(LONGEST));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let then = until.duration_since(std::time::UNIX_EPOCH).ok()?;
    let now = Duration::from_nanos(u64::try_from(crate::clock::now()).unwrap_or(0));
    Some(then.saturating_sub(now).min(LONGEST))
}

/// Reads the fields that the three `Export*PartialSuccess` messages share: 1 rejected, 2 message, inside field 1.
pub fn delivered(response: &[u8]) -> Delivered {
    use prost::Message;
    #[derive(Clone, PartialEq, Message)]
    struct Response {
        #[prost(message, optional, tag = "1")]
        partial_success: Option<Partial>,
    }
    #[derive(Clone, PartialEq, Message)]
    struct Partial {
        #[prost(int64, tag = "1")]
        rejected: i64,
        #[prost(string, tag = "2")]
        message: String,
    }
    // An answer that cannot be read is a success all the same: it must not be sent again.
    let partial = Response::decode(response).ok().and_then(|response| response.partial_success).unwrap_or_default();
    Delivered {
        rejected: u64::try_from(partial.rejected).unwrap_or(0),
        message: partial.message.chars().take(500).collect(),
    }
}

/// The same out of JSON, where the field that counts is named after the signal and 64-bit numbers may be texts.
pub fn delivered_json(response: &[u8]) -> Delivered {
    let response: serde_json::Value = serde_json::from_slice(response).unwrap_or_default();
    let Some(partial) = response.get("partialSuccess") else { return Delivered::default() };
    let rejected = ["rejectedLogRecords", "rejectedSpans", "rejectedDataPoints"].into_iter().find_map(|key| {
        let value = partial.get(key)?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    });
    let message = partial.get("errorMessage").and_then(serde_json::Value::as_str).unwrap_or_default();
    Delivered { rejected: rejected.unwrap_or(0), message: message.chars().take(500).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    #[test]
    fn grpc_codes() {
        let soon = Some(Duration::from_secs(3));
        let check = |code: Code, plain: Then, with_info: Then| {
            assert_eq!(then_of_grpc(code, "no more", None), plain, "{code:?}");
            assert_eq!(then_of_grpc(code, "no more", soon), with_info, "{code:?} with RetryInfo");
        };
        for code in [
            Code::Cancelled,
            Code::DeadlineExceeded,
            Code::Aborted,
            Code::OutOfRange,
            Code::Unavailable,
            Code::DataLoss,
        ] {
            check(code, Then::Retry(None), Then::Retry(soon));
        }
        for code in [
            Code::Unknown,
            Code::InvalidArgument,
            Code::NotFound,
            Code::AlreadyExists,
            Code::PermissionDenied,
            Code::Unauthenticated,
            Code::FailedPrecondition,
            Code::Unimplemented,
            Code::Internal,
        ] {
            check(code, Then::Drop, Then::Drop);
        }
        check(Code::ResourceExhausted, Then::DropAndWait, Then::Retry(soon));
        for message in [
            "grpc: received message larger than max (5000000 vs. 4194304)",
            "Error, decoded message length too large: found 5000000 bytes, the limit is: 4194304 bytes",
            "gRPC message exceeds maximum size 4194304: 5000000",
        ] {
            assert_eq!(then_of_grpc(Code::ResourceExhausted, message, None), Then::Shrink, "{message}");
            assert_eq!(then_of_grpc(Code::Unknown, message, None), Then::Drop, "{message}");
        }
    }

    #[test]
    fn http_statuses() {
        for status in [429, 502, 503, 504] {
            assert_eq!(then_of_http(status, None), Then::Retry(None), "{status}");
        }
        for status in [400, 401, 403, 404, 405, 408, 415, 422, 500, 501, 505, 511] {
            assert_eq!(then_of_http(status, Some(Duration::from_secs(1))), Then::Drop, "{status}");
        }
        assert_eq!(then_of_http(413, None), Then::Shrink);
    }

    #[test]
    fn retry_after_values() {
        let check = |text: &str| retry_after(Some(&http::HeaderValue::from_str(text).expect("a value")));
        assert_eq!(check("7"), Some(Duration::from_secs(7)));
        assert_eq!(check("Thu, 01 Jan 1970 00:00:00 GMT"), Some(Duration::ZERO));
        assert_eq!(check("soon"), None);
        assert_eq!(check("99999999999"), Some(Duration::from_secs(86_400)));
        assert_eq!(retry_after(None), None);
    }

    #[test]
    fn partial_success() {
        // field 1 { 1: 2, 2: "no" }
        assert_eq!(delivered(&[10, 6, 8, 2, 18, 2, b'n', b'o']), Delivered { rejected: 2, message: "no".to_owned() });
        assert_eq!(delivered(&[]), Delivered::default());
        assert_eq!(delivered(&[255, 255]), Delivered::default());
    }
}
