//! The journal against a model: states that were never written anywhere and never crashed.

mod crash;
mod engine;
mod failure;
mod history;
mod thread;
mod world;
