//! Exchanges with verdicts become spans with resources: who a process is, what its service is called, which attributes say it.
pub mod binary;
pub mod build;
pub mod container;
pub mod directory;
pub mod environment;
pub mod host;
mod java;
pub mod process;
mod program;
pub mod resource;
pub mod route;
pub mod runtime;
pub mod service;
pub mod span;
