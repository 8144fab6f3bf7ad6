//! Export as its callers and its receivers see it: real sockets, real decoders, and independent implementations as oracles.
mod collector;
mod config;
mod delivery;
mod encode;
mod files;
mod live;
mod own;
mod spans;
