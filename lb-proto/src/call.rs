//! A call and the reply it fixes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A request of the control protocol: its name on the wire, its arguments (the type itself) and
/// the reply that belongs to it.
pub trait Call: Serialize + DeserializeOwned {
    /// The value of `"call"`.
    const NAME: &'static str;
    type Reply: Serialize + DeserializeOwned;
}
