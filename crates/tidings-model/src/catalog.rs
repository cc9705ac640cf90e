//! The catalog: what the operator configures. Plain data, as the file says it, with defaults filled in.
//!
//! Rules are kept as text here; `tidings-rules` parses them and `tidings-engine` compiles the whole.

use crate::{
    DataSourceId, DestinationId, ExportUses, SecretRef, SegmentId, Timestamp, TraitId, UtcDay,
};
use std::time::Duration;

/// Everything that is configured about traits, segments and destinations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Catalog {
    /// When devices that were not seen for 120 days leave.
    pub cleanup: Cleanup,
    /// Data sources. Of the built-in global ones only those that have export controls or an
    /// integration code.
    pub data_sources: Vec<DataSource>,
    /// Traits.
    pub traits: Vec<Trait>,
    /// Segments.
    pub segments: Vec<Segment>,
    /// Destinations.
    pub destinations: Vec<Destination>,
}

/// How often devices that were not seen for 120 days are looked for, in days: at midnights, counted
/// from a Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cleanup {
    /// 1 to [`limits::CLEANUP_DAYS_MAX`](crate::limits::CLEANUP_DAYS_MAX).
    pub days: u8,
}

impl Default for Cleanup {
    fn default() -> Self {
        Self { days: 1 }
    }
}

/// A namespace of ids, and the owner of traits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSource {
    /// Its id.
    pub id: DataSourceId,
    /// For people.
    pub name: String,
    /// What its ids identify.
    pub kind: DataSourceKind,
    /// Another name of it, by which requests may refer to it; unique among data sources.
    pub integration_code: Option<String>,
    /// The uses that are forbidden of its traits.
    pub export_controls: ExportUses,
}

/// What the ids of a data source identify.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DataSourceKind {
    /// A browser.
    Cookie,
    /// A device, by its advertising id.
    Device,
    /// A person or household.
    CrossDevice,
}

/// A trait: something that is true of a device for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trait {
    /// Its id.
    pub id: TraitId,
    /// For people.
    pub name: String,
    /// The data source that owns it.
    pub data_source: Option<DataSourceId>,
    /// How it is realised.
    pub kind: TraitKind,
    /// The folder that holds it: a trait of kind folder.
    pub folder: Option<TraitId>,
    /// The rule over signals that realises a rule-based trait; without one only its id does.
    pub rule: Option<String>,
    /// Time-to-live in days after the day of the last realisation; 0 is for ever.
    pub ttl_days: u32,
}

/// How a trait is realised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TraitKind {
    /// By an event that matches its rule, or by id; every realisation counts.
    RuleBased,
    /// By id, from offline data; counts at most once.
    Onboarded,
    /// By any trait below it; its count is their sum.
    Folder,
    /// By a data provider's feed; never allowed in a frequency term.
    ThirdParty,
}

/// Whether a segment or destination is at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Status {
    /// At work.
    #[default]
    Active,
    /// Kept, but idle.
    Paused,
}

/// A segment: an audience, defined by a rule over traits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its id.
    pub id: SegmentId,
    /// For people.
    pub name: String,
    /// The segment expression.
    pub rule: String,
    /// Paused segments take no new members and tell partners nothing.
    pub status: Status,
}

/// A destination: one partner endpoint and what it is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Its id.
    pub id: DestinationId,
    /// For people.
    pub name: String,
    /// The account inside the partner's system, sent as `Client_ID`.
    pub client_id: String,
    /// Where messages go: `https`, without user info or fragment. With [`Method::Get`] a template, see
    /// `template` in `tidings-wire`.
    pub url: String,
    /// How messages are sent.
    pub method: Method,
    /// The namespaces whose ids the partner knows; one message holds ids of one of them.
    pub id_data_sources: Vec<DataSourceId>,
    /// The segments it is told about.
    pub mappings: Vec<Mapping>,
    /// Signature headers, in the order they are sent.
    pub signing: Vec<Signing>,
    /// How requests are authorised, if at all.
    pub oauth: Option<OAuth>,
    /// Its own trust roots and client certificate.
    pub tls: TlsFiles,
    /// User objects per message, 1 to [`crate::limits::USERS_PER_MESSAGE_MAX`].
    pub max_users: u32,
    /// How long a user may wait for company in a message.
    pub max_linger: Duration,
    /// Deadline of one attempt, from name resolution to the end of the response.
    pub timeout: Duration,
    /// Attempts after the first.
    pub retries: u32,
    /// Pause before a retry.
    pub retry_delay: Duration,
    /// Status codes that mean success.
    pub success_codes: Vec<u16>,
    /// What becomes of a user whose message failed for good.
    pub after_failure: FailurePolicy,
    /// What is sent for a device without an id in any of the namespaces.
    pub unsynced: Unsynced,
    /// When changes that time alone makes are told.
    pub unsegment: Unsegment,
    /// Whether the partner takes a Status 0. One that does not is never told that a device left.
    pub supports_unsegment: bool,
    /// How many of a device's newest ids per namespace get a Status 1; 0 is all.
    pub max_mappings: u32,
    /// The daily batch, if there is one.
    pub batch: Option<Batch>,
    /// The uses that it makes of what it is told.
    pub export_labels: ExportUses,
    /// Details of the wire format.
    pub wire: WireSettings,
    /// A paused destination is sent nothing.
    pub status: Status,
}

/// One segment attached to one destination.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Mapping {
    /// The segment.
    pub segment: SegmentId,
    /// Text sent as `Segment_ID` instead of the segment's id.
    pub value: Option<String>,
    /// First day of delivery.
    pub start: Option<UtcDay>,
    /// The day at whose beginning delivery ends.
    pub end: Option<UtcDay>,
}

/// One signature header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signing {
    /// Header name.
    pub header: String,
    /// Hash function of the HMAC.
    pub hash: HashName,
    /// The key.
    pub secret: SecretRef,
    /// Not sent before this instant.
    pub not_before: Option<Timestamp>,
    /// Not sent from this instant on.
    pub not_after: Option<Timestamp>,
}

/// What a destination has of its own for TLS, its token endpoint included. The default has nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Trust roots in PEM: these and no others.
    pub ca_file: Option<std::path::PathBuf>,
    /// Client certificate, its chain in PEM, and private key in PEM.
    pub client: Option<ClientCertificate>,
}

/// A client certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The chain, in PEM.
    pub chain: SecretRef,
    /// The private key, in PEM.
    pub key: SecretRef,
}

/// Hash function of an HMAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HashName {
    /// HMAC-MD5
    Md5,
    /// HMAC-SHA1
    Sha1,
    /// HMAC-SHA256
    Sha256,
}

/// OAuth 2.0 client credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuth {
    /// Where tokens are fetched.
    pub token_url: String,
    /// What is sent there.
    pub credentials: OAuthCredentials,
}

/// Credentials for the token endpoint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OAuthCredentials {
    /// Base64 of the form-encoded id and secret.
    Client {
        /// Public part.
        client_id: String,
        /// Secret part.
        client_secret: SecretRef,
    },
    /// The text after `Basic `, sent as it is.
    BasicRaw(SecretRef),
}

/// What becomes of a user whose message failed for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum FailurePolicy {
    /// Keep it and send it again on the next trigger, in the next batch, on request, on recovery.
    #[default]
    Hold,
    /// List it as undelivered and forget it until the next trigger.
    Drop,
}

/// What is sent for a device without an id in the partner's namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unsynced {
    /// Nothing.
    #[default]
    Skip,
    /// A user object with an empty partner id.
    Blank,
}

/// When a destination is told about changes that time alone makes: a time-to-live that ran out, a
/// recency window that moved on, a device unseen for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Unsegment {
    /// At once.
    #[default]
    Immediate,
    /// With the next batch, or with whatever else is told about the device first.
    Batch,
    /// When the device is seen again.
    WhenSeen,
}

/// The daily batch of a destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Time between two batches, at least 24 h.
    pub every: Duration,
    /// Time of day, UTC, in minutes after midnight.
    pub at_minute: u16,
}

/// Details of the wire format that partners differ in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WireSettings {
    /// How numbers are written.
    pub numbers: Numbers,
    /// Name of the member that carries the destination's id.
    pub destination_key: String,
    /// The destination's id as the partner knows it; `None` sends ours.
    pub destination_id: Option<String>,
    /// Whether `User_DPID` is sent.
    pub user_dpid: bool,
    /// Whether `AAM_Regions` is sent.
    pub regions: bool,
}

impl Default for WireSettings {
    fn default() -> Self {
        Self {
            numbers: Numbers::String,
            destination_key: "AAM_Destination_Id".to_owned(),
            destination_id: None,
            user_dpid: true,
            regions: true,
        }
    }
}

/// How messages are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Method {
    /// As JSON in the body of a POST.
    #[default]
    Post,
    /// In the query of a GET, one user each.
    Get,
}

/// How numbers are written on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Numbers {
    /// `"423"`, as every published message has it.
    #[default]
    String,
    /// `423`
    Integer,
}
