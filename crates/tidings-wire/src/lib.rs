//! The outbound message: the JSON that tells a partner which users entered and left which segments.
//!
//! Stands alone: a sender encodes and signs with it, a partner verifies and decodes.
//!
//! - [`encode`]: compact bytes in wire order, for a sender
//! - [`decode`]: a [`Message`] or a list of what is wrong and where, for a receiver
//! - [`sign`]: HMAC signatures of the exact bytes, for both sides
//! - [`date`]: the format of dates
//! - [`options`]: what differs between destinations
//!
//! # For a partner
//!
//! Take the raw body before anything parses it, check the signature over those bytes, then decode.
//!
//! ```
//! use tidings_wire::{Decoder, Hash, Key, Status};
//!
//! // Once, at the start: the key agreed for the signature header.
//! let key = Key::new(Hash::Sha256, b"sample_partner_private_key");
//! let decoder = Decoder::tolerant();
//!
//! // Per request: its body and the value of its signature header.
//! let body = br#"{"ProcessTime":"Tue Mar 01 09:08:07 UTC 2016","User_DPID":"45454","Client_ID":"acct-7","AAM_Destination_Id":"4242","User_count":"1","Users":[{"AAM_UUID":"07955261652886032950143702505894272138","DataPartner_UUID":"","Segments":[{"Segment_ID":"14356","Status":"1","DateTime":"Tue Mar 01 09:07:59 UTC 2016"}]}]}"#;
//! let signature = "z+A3PXFYygBDs1DWllrajmVgWHNjhNklPNwkY9NnSUc=";
//!
//! if !key.verify(body, signature) {
//!     // Answer 401. The sender tries once more.
//!     panic!("forged or damaged");
//! }
//! let decoded = decoder.decode(body)?;
//! for user in &decoded.message.users {
//!     for segment in &user.segments {
//!         // Idempotent: the state of (`DataPartner_UUID`, `Segment_ID`) is replaced.
//!         let is_member = segment.status == Status::Active;
//!         println!("{} {} {is_member}", user.aam_uuid, segment.segment_id);
//!     }
//! }
//! # assert_eq!(decoded.message.users.len(), 1);
//! # Ok::<(), tidings_wire::DecodeError>(())
//! ```
//!
//! # For a sender
//!
//! ```
//! use tidings_wire::{
//!     Hash, Head, Key, Options, Segment, SegmentRef, Signer, Status, User,
//!     encode::{encode_message, encode_user},
//! };
//!
//! let options = Options::default();
//! let key = Key::new(Hash::Sha256, b"sample_partner_private_key");
//! let signer = Signer::new(vec![("X-Signature".to_owned(), key)]);
//!
//! // When a user's turn comes: encode it once.
//! let mut object = Vec::new();
//! let segment = Segment {
//!     id: SegmentRef::Number(14356),
//!     status: Status::Active,
//!     date_time: 1_456_823_279,
//! };
//! let user = User {
//!     aam_uuid: "07955261652886032950143702505894272138",
//!     data_partner_uuid: "",
//!     regions: &[],
//!     segments: &[segment],
//! };
//! encode_user(&options, &user, &mut object)?;
//!
//! // When a message is due: assemble it, then sign the very bytes that are sent.
//! let head = Head {
//!     process_time: 1_456_823_287,
//!     user_dpid: Some(45454),
//!     client_id: "acct-7",
//!     destination_id: "4242",
//! };
//! let mut body = Vec::new();
//! encode_message(&options, &head, [object.as_slice()], &mut body)?;
//! for (header, signature) in signer.sign(&body) {
//!     assert_eq!(header, "X-Signature");
//!     assert_eq!(signature.as_str(), "z+A3PXFYygBDs1DWllrajmVgWHNjhNklPNwkY9NnSUc=");
//! }
//! # Ok::<(), tidings_wire::encode::EncodeError>(())
//! ```
#![forbid(unsafe_code)]

pub mod date;
pub mod decode;
pub mod encode;
pub mod message;
mod number;
pub mod options;
pub mod sign;
pub mod template;

pub use decode::{DecodeError, Decoded, Decoder};
pub use encode::{Head, Segment, SegmentRef, Status, User};
pub use message::{Message, MessageSegment, MessageUser};
pub use options::{Numbers, Options};
pub use sign::{Hash, Key, Signature, Signer};
