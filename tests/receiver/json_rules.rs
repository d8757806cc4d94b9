//! The rules of OTLP JSON as a sender meets them.

use super::common::client::post;
use super::common::hop::Hop;
use super::common::requests;
use super::{JSON, Status, status_of};
use tonic::Code;

/// Sends one record as JSON with these members; returns what came out.
async fn record(hop: &Hop, members: &str) -> Result<opentelemetry_proto::tonic::logs::v1::LogRecord, Status> {
    let body = format!("{{\"resourceLogs\":[{{\"scopeLogs\":[{{\"logRecords\":[{{{members}}}]}}]}}]}}");
    let answer = post(hop.http, "/v1/logs", JSON, body).await;
    if answer.status != 200 {
        return Err(status_of(&answer));
    }
    let (_, request, _) = hop.kept.take().pop().expect("a request");
    Ok(requests::records(&request).pop().expect("a record"))
}

#[tokio::test]
async fn the_rules_of_json() {
    let hop = Hop::relay().await;
    let hex = "5B8EFFF798038103D269B633813FC60C";
    let read = record(&hop, &format!(r#""traceId":"{hex}","spanId":"eee19b7ec3c1b174""#)).await.expect("taken");
    let upper = read.trace_id.iter().map(|byte| format!("{byte:02X}")).collect::<String>();
    assert_eq!((upper.as_str(), read.span_id.len()), (hex, 8), "ids are hexadecimal, in any case");
    for (members, time) in [
        (r#""timeUnixNano":"1772615703000000001""#, 1_772_615_703_000_000_001),
        (r#""timeUnixNano":1772615703000000001"#, 1_772_615_703_000_000_001),
        (r#""timeUnixNano":"18446744073709551615""#, u64::MAX),
        (r#""time_unix_nano":"7""#, 0),
        (r#""TimeUnixNano":"7""#, 0),
        (r#""timeUnixNano":null"#, 0),
        (r#""aFieldOfTheFuture":{"deep":[1,{"deeper":null}]},"timeUnixNano":"8""#, 8),
    ] {
        assert_eq!(record(&hop, members).await.map(|read| read.time_unix_nano), Ok(time), "{members}");
    }
    let read =
        record(&hop, r#""severityNumber":17,"severity_text":"no","body":{"intValue":"-9007199254740993"}"#).await;
    let read = read.expect("taken");
    assert_eq!((read.severity_number, read.severity_text.as_str()), (17, ""));
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let value = |read: &opentelemetry_proto::tonic::logs::v1::LogRecord| read.body.clone().and_then(|body| body.value);
    assert_eq!(value(&read), Some(Value::IntValue(-9_007_199_254_740_993)));
    let read = record(&hop, r#""body":{"bytesValue":"AAEC/w=="}"#).await.expect("taken");
    assert_eq!(value(&read), Some(Value::BytesValue(vec![0, 1, 2, 255])));
    for members in [
        r#""severityNumber":"SEVERITY_NUMBER_ERROR""#,
        r#""traceId":"not hexadecimal""#,
        r#""timeUnixNano":"-1""#,
        r#""timeUnixNano":"soon""#,
        r#""body":"a bare text""#,
        r#""attributes":{"key":"value"}"#,
    ] {
        let status = record(&hop, members).await.expect_err(members);
        assert_eq!(status.code, Code::InvalidArgument as i32, "{members}: {status:?}");
    }
}
