//! The engine from outside: what an event costs.

mod cost;
