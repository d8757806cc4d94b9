//! gRPC calls whose messages stay bytes.

use crate::Counts;
use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};
use why502::otlp::Signal;

/// As large as any request of the benchmark.
const MESSAGE_BYTES_MAX: usize = 64 << 20;

#[derive(Clone, Copy, Debug, Default)]
pub struct RawCodec;

impl Codec for RawCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = RawCodec;
    type Decoder = RawCodec;

    fn encoder(&mut self) -> RawCodec {
        RawCodec
    }

    fn decoder(&mut self) -> RawCodec {
        RawCodec
    }
}

impl Encoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        let length = buffer.remaining();
        Ok(Some(buffer.copy_to_bytes(length)))
    }
}

/// A client of the two services.
#[derive(Clone, Debug)]
pub struct Client {
    channel: Channel,
}

impl Client {
    pub async fn connect(to: &str) -> anyhow::Result<Client> {
        let endpoint = Endpoint::from_shared(to.to_owned())?
            .initial_stream_window_size(1 << 20)
            .initial_connection_window_size(4 << 20);
        Ok(Client { channel: endpoint.connect_lazy() })
    }

    pub async fn send(&self, signal: Signal, request: Bytes) -> Result<Bytes, Status> {
        let mut client = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        client.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(signal.grpc_path());
        Ok(client.unary(Request::new(request), path, RawCodec).await?.into_inner())
    }
}

/// What becomes of a request.
#[derive(Clone, Debug)]
pub enum Hop {
    /// It is sent on.
    Proxy(Client),
    /// It is counted.
    Sink(Arc<Counts>),
}

/// One of the two services.
#[derive(Clone, Debug)]
pub struct RawService<const TRACES: bool> {
    hop: Hop,
}

impl RawService<false> {
    pub fn logs(hop: Hop) -> RawService<false> {
        RawService { hop }
    }
}

impl RawService<true> {
    pub fn traces(hop: Hop) -> RawService<true> {
        RawService { hop }
    }
}

impl tonic::server::NamedService for RawService<false> {
    const NAME: &'static str = "opentelemetry.proto.collector.logs.v1.LogsService";
}

impl tonic::server::NamedService for RawService<true> {
    const NAME: &'static str = "opentelemetry.proto.collector.trace.v1.TraceService";
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<const TRACES: bool> tonic::codegen::Service<http::Request<tonic::body::Body>> for RawService<TRACES> {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let call = Call { hop: self.hop.clone(), signal: if TRACES { Signal::Traces } else { Signal::Logs } };
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(RawCodec).max_decoding_message_size(MESSAGE_BYTES_MAX);
            Ok(grpc.unary(call, request).await)
        })
    }
}

struct Call {
    hop: Hop,
    signal: Signal,
}

impl tonic::server::UnaryService<Bytes> for Call {
    type Response = Bytes;
    type Future = Answer<Result<Response<Bytes>, Status>>;

    fn call(&mut self, request: Request<Bytes>) -> Self::Future {
        let (hop, signal, request) = (self.hop.clone(), self.signal, request.into_inner());
        Box::pin(async move {
            match hop {
                Hop::Proxy(client) => client.send(signal, request).await.map(Response::new),
                Hop::Sink(counts) => {
                    counts.take(signal, &request);
                    Ok(Response::new(Bytes::new()))
                }
            }
        })
    }
}
