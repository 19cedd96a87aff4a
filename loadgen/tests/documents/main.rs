//! What is read and written as text: scenarios, scripted cases, their schema, their errors, and the project's own
//! architecture.

#![expect(clippy::unwrap_used, reason = "a panic in a test's helper is the report")]

mod architecture;
mod case_documents;
mod case_errors;
mod conformance_cases;
mod modules;
mod mutation;
mod scenario_commands;
mod scenario_diagnostics;
mod scenario_documents;
mod scenario_errors;
mod scenario_schema;
