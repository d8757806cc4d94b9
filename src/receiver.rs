//! OTLP comes in: gRPC and HTTP, three signals, protobuf and JSON. Every code and body as OTLP 1.11.0 says.
//!
//! No request is decoded because it arrived: its bytes go to a [`Consumer`], which says whether they are taken. Limits:
//! size after decompression, held while it decompresses; bodies that come in, requests that are worked on, and their bytes;
//! connections at once; time for a head and a body.

pub mod admission;
pub mod auth;
pub mod body;
pub mod grpc;
pub mod http;
pub mod kafka;
mod opening;
mod places;
pub mod serve;
pub mod socket;
mod unread;

use crate::otlp::Signal;
use bytes::Bytes;
use std::future::Future;
use std::time::Duration;

/// Takes requests.
pub trait Consumer: Clone + Send + Sync + 'static {
    /// Takes the bytes of one request, protobuf. When it returns, the request is acknowledged.
    fn consume(&self, signal: Signal, request: Bytes) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Counts a request that was answered with this, whoever refused it.
    fn refused(&self, refusal: &Refusal);
}

/// Takes requests that somebody else keeps until they are delivered, and is asked whether they are.
pub trait Tracked: Consumer {
    /// Takes one; its position is asked for later. `None` where there is nothing to deliver.
    fn take_tracked(&self, signal: Signal, request: Bytes)
    -> impl Future<Output = Result<Option<u64>, Refusal>> + Send;

    /// Shows one that is delivered already, so that what comes after it is understood; it goes nowhere.
    fn show(&self, signal: Signal, request: Bytes) -> impl Future<Output = Result<(), Refusal>> + Send;

    /// Whether every backend has all of it, or lost it for good and counted it.
    fn is_delivered(&self, position: u64) -> bool;

    /// What is still held of these goes nowhere from now on: somebody else takes the requests again. Returns of which that
    /// was so.
    fn give_up(&self, positions: Vec<u64>, what: GivenUp) -> impl Future<Output = Vec<u64>> + Send;
}

/// What is given up of that which is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GivenUp {
    /// Lines and spans of requests; those about processes wait no longer than they are to.
    Requests,
    /// Everything.
    All,
}

/// What a call of either protocol needs.
#[derive(Clone)]
struct Calls<C> {
    consumer: C,
    /// Bytes of one request after decompression.
    limit: usize,
    admission: admission::Admission,
}

/// Why a request is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The bytes are no OTLP; the sender must not send them again.
    #[error("malformed request: {0}; it was not taken, do not send it again")]
    Malformed(String),
    /// Larger than the limit after decompression; the sender must not send it again as it is.
    #[error("the request is larger than {0} bytes after decompression; send smaller batches")]
    TooLarge(usize),
    /// Busy; the sender shall come back.
    #[error("busy; send it again in {} s", .retry_after.as_secs())]
    Overloaded {
        /// When.
        retry_after: Duration,
    },
    /// It cannot be written to the disk, where it would have to be before it is acknowledged; the sender shall come back.
    #[error("{0}; send it again later")]
    NotKept(String),
    /// No pipeline has this signal.
    #[error("no pipeline has this signal here; add one under service::pipelines")]
    Disabled,
    /// Shutdown has begun.
    #[error("shutting down; send it again to another instance, or soon")]
    ShuttingDown,
    /// The content type is none that we read.
    #[error("this content type is not read here; use application/x-protobuf or application/json")]
    ContentType,
    /// The encoding is none that we read.
    #[error("content encoding `{0}` is not read here; use identity, gzip, zstd, deflate, zlib, snappy or lz4")]
    Encoding(String),
    /// It says that it is compressed and not how.
    #[error("the message is marked as compressed and no grpc-encoding is named; name it, or do not compress")]
    EncodingUnnamed,
    /// It does not show who sends it. The name is that of the header that was looked at.
    #[error("`{0}` does not show a secret that is good here; set it in the exporter that sends")]
    Unauthenticated(String),
    /// The body did not come whole or in time; what was sent may be sent again.
    #[error("the request did not come whole: {0}")]
    Broken(String),
}

impl Refusal {
    /// The word that is counted.
    pub fn reason(&self) -> &'static str {
        match self {
            Refusal::Malformed(_) => "malformed",
            Refusal::TooLarge(_) => "too_large",
            Refusal::Overloaded { .. } => "overloaded",
            Refusal::NotKept(_) => "not_kept",
            Refusal::Disabled => "signal_disabled",
            Refusal::ShuttingDown => "shutting_down",
            Refusal::ContentType => "content_type",
            Refusal::Encoding(_) | Refusal::EncodingUnnamed => "encoding",
            Refusal::Unauthenticated(_) => "unauthenticated",
            Refusal::Broken(_) => "broken_body",
        }
    }

    /// After how long the sender shall come back, where it shall.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Refusal::Overloaded { retry_after } => Some(*retry_after),
            Refusal::ShuttingDown | Refusal::Broken(_) | Refusal::NotKept(_) => Some(Duration::from_secs(1)),
            _ => None,
        }
    }
}

/// `google.rpc.Status` as OTLP over HTTP wants it in the bodies of errors.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(crate) code: i32,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(crate) details: Vec<prost_types::Any>,
}
