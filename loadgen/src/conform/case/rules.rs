//! The ids of the protocol's requirements, which cases cite.

/// Every id, in the protocol's order.
pub(super) const RULES: &[&str] = &[
    "LOGIN-1", "LOGIN-2", "LOGIN-3", "LOGIN-4", "LOGIN-5", "LOGIN-6", //
    "STORE-1", "STORE-2", "STORE-3", "STORE-4", "STORE-5", "STORE-6", "STORE-7", //
    "ROLE-1", "ROLE-2", "ROLE-3", "ROLE-4", "ROLE-5", "ROLE-6", "ROLE-7", "ROLE-8", "ROLE-9", //
    "FORM-1", "FORM-2", "FORM-3", //
    "LIFE-1", "LIFE-2", "LIFE-3", "LIFE-4", "LIFE-5", //
    "ATOM-1", "ATOM-2", //
    "TCP-1", "TCP-2", "TCP-3", "TCP-4", "TCP-5", "TCP-6", "TCP-7", "TCP-8", "TCP-9", //
    "RAW-1", //
    "WS-1", "WS-2", "WS-2a", "WS-3", "WS-4", "WS-4a", "WS-5", "WS-6", "WS-7", "WS-8",
];
