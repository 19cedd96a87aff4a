//! What a sweep changes.

use serde::{Deserialize, Serialize};

/// A swept key and its value in one variant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The dotted key, or `manager-share`.
    pub key: String,
    /// A text's content, or any other value as the scenario writes it.
    pub value: String,
}
