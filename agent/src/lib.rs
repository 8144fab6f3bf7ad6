//! wirespan: distributed traces from what programs say over TCP.
//!
//! Data flows one way, in the order of these modules; a stage imports only types of the stages before it.
pub mod adapter;
pub mod capture;
pub mod causality;
pub mod enrich;
pub mod exchange;
pub mod export;
pub mod flow;
pub mod protocol;
pub mod rendezvous;

pub mod accounting;
pub mod pipeline;
pub mod selection;
pub mod semconv;

pub mod cli;
pub mod command;
