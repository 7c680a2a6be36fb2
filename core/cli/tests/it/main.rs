//! Sending, ramps, queries, browsing, watching, rules and their tools, contexts and the frame of the tool: every command runs in this process, against a
//! real server on the loopback; only what is about the process itself runs the executable.

mod browse;
mod context;
mod frame;
mod live;
mod query;
mod ramp;
mod rules;
mod send;
mod site;
mod tools;
