//! The query API over published verdicts and incidents: `proto/why502/v1/verdicts.proto` and
//! `proto/why502/v1/incidents.proto` on the gRPC listener, with health and reflection; over HTTP the probes and
//! the metrics.

pub mod details;
pub mod incidents;
pub mod limits;
pub mod page;
pub mod probes;
pub mod ring;
pub mod service;

pub use ring::Ring;

use axum::Router;

/// The generated messages and services.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated from the .proto file, which has the docs"
)]
pub mod api {
    tonic::include_proto!("why502.v1");
}

const DESCRIPTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/why502_descriptor.bin"));

/// Health: says SERVING until it is told otherwise.
pub type Health = tonic_health::server::HealthReporter;

/// The services, as gRPC names them.
pub const SERVICES: [&str; 4] =
    ["why502.v1.Verdicts", "why502.v1.Incidents", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"];

/// Verdicts, incidents, health and reflection as routes of the gRPC listener.
///
/// # Errors
/// Never in practice: when the descriptors of our own build cannot be read.
pub async fn routes(ring: Ring) -> Result<(Router, Health), tonic_reflection::server::Error> {
    let otlp = crate::otlp::Signal::ALL.map(|signal| signal.grpc_path().trim_start_matches('/'));
    let otlp = otlp.map(|path| path.split('/').next().unwrap_or_default());
    let (health, health_service) = tonic_health::server::health_reporter();
    health.set_service_status("", tonic_health::ServingStatus::Serving).await;
    for service in otlp {
        health.set_service_status(service, tonic_health::ServingStatus::Serving).await;
    }
    // The descriptors of OTLP name services that are not served here.
    let listed = SERVICES
        .iter()
        .chain(&otlp)
        .fold(tonic_reflection::server::Builder::configure(), |builder, name| builder.with_service_name(*name));
    let reflection = listed
        .register_encoded_file_descriptor_set(DESCRIPTOR)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(opentelemetry_proto::DESCRIPTORS)
        .build_v1()?;
    let limits = limits::Limits::default();
    let verdicts = api::verdicts_server::VerdictsServer::new(service::Service::new(ring.verdicts, limits.clone()));
    let incidents =
        api::incidents_server::IncidentsServer::new(incidents::Service::new(ring.incidents, limits.clone()));
    let mut routes = tonic::service::Routes::builder();
    routes
        .add_service(health_service.max_decoding_message_size(limits::CALL_BYTES_MAX))
        .add_service(reflection.max_decoding_message_size(limits::CALL_BYTES_MAX))
        .add_service(verdicts.max_decoding_message_size(limits::CALL_BYTES_MAX))
        .add_service(incidents.max_decoding_message_size(limits::CALL_BYTES_MAX));
    let router = routes.routes().into_axum_router();
    Ok((router.layer(axum::middleware::from_fn_with_state(limits, limits::keep_places)), health))
}

/// Tells health checks that shutdown has begun.
pub async fn set_draining(health: &Health) {
    health.set_service_status("", tonic_health::ServingStatus::NotServing).await;
}
