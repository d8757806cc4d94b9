//! why502 tells why NGINX answered 502.
//!
//! The crate is laid out so that a `use` points one way:
//! `engine, otlp <- scan, enrich, config <- receiver | exporter | web <- pipeline <- commands <- main`.

pub mod auth;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod engine;
pub mod enrich;
pub mod explain;
pub mod exporter;
pub mod journal;
pub mod kafka;
pub mod mcp;
pub mod memory;
pub mod otlp;
pub mod page;
pub mod pem;
pub mod pipeline;
pub mod read;
pub mod receiver;
pub mod scan;
pub mod tail;
pub mod telemetry;
pub mod web;
