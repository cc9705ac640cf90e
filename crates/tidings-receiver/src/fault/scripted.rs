//! Faults without a value that are carried out byte by byte: their names, and what a sender meets.
//!
//! The bytes are in `misbehave`. To add one: a row here, and the script that the compiler then asks
//! for.

use super::{Group, Stage};
use std::fmt;

macro_rules! scripted {
    ($($group:ident { $($variant:ident $name:literal $status:literal $does:literal;)* })*) => {
        /// A behaviour that bypasses HTTP or TLS libraries: what they would never send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Scripted {
            $($(#[doc = $does] $variant,)*)*
        }

        impl Scripted {
            /// All of them, group by group.
            pub const ALL: &[Self] = &[$($(Self::$variant,)*)*];

            /// The name it is asked for by.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $($(Self::$variant => $name,)*)* }
            }

            /// What the sender meets.
            #[must_use]
            pub const fn does(self) -> &'static str {
                match self { $($(Self::$variant => $does,)*)* }
            }

            /// The group it is listed in.
            #[must_use]
            pub const fn group(self) -> Group {
                match self { $($(Self::$variant => Group::$group,)*)* }
            }

            /// The status that the sender can read, 0 for none.
            pub(crate) const fn status(self) -> u16 {
                match self { $($(Self::$variant => $status,)*)* }
            }
        }
    };
}

scripted! {
    Connection {
        AcceptClose "accept-close" 0 "a connection that is closed before TLS";
        PlainHttp "plain-http" 0 "an answer in HTTP without TLS";
    }
    Tls {
        TlsGarbage "tls-garbage" 0 "bytes that are not TLS";
        TlsHelloHang "tls-hello-hang" 0 "silence after the first bytes of a TLS handshake";
        TlsHelloClose "tls-hello-close" 0 "a close within the TLS handshake";
        TlsHelloReset "tls-hello-reset" 0 "a reset within the TLS handshake";
        TlsTrickle "tls-trickle" 0 "a TLS handshake of one byte a second";
        TlsFlood "tls-flood" 0 "a TLS handshake message without end";
        TlsExpired "tls-expired" 0 "a certificate that has expired";
        TlsNotYetValid "tls-not-yet-valid" 0 "a certificate that is not valid yet";
        TlsWrongName "tls-wrong-name" 0 "a certificate for another host";
        TlsSelfSigned "tls-self-signed" 0 "a self-signed certificate";
        TlsUnknownCa "tls-unknown-ca" 0 "a certificate of a CA that nobody trusts";
        TlsOld "tls-1.1" 0 "TLS 1.1 and no newer version";
        TlsNoSharedCipher "tls-no-shared-cipher" 0 "an alert: no cipher suite in common";
        TlsUnrecognisedName "tls-unrecognised-name" 0 "an alert: the host name is not known";
        TlsInternalError "tls-internal-error" 0 "an alert: internal error";
        TlsClientCertificate "tls-client-certificate" 0 "a demand for a client certificate";
        TlsH2Only "tls-h2-only" 0 "a partner that speaks HTTP/2 alone (ALPN)";
    }
    Early {
        EarlyClose "early-close" 0 "a close after the TLS handshake, before the request is read";
        EarlyReset "early-reset" 0 "a reset when the request begins to arrive";
        EarlyRefusal "early-refusal" 413 "413 before the body is read, which never happens";
        EarlyOk "early-ok" 200 "200 before the body is read, which never happens";
        StopReading "stop-reading" 0 "a partner that goes away without a word: reads no more, sends nothing";
    }
    Answer {
        Close "close" 0 "a close after the request";
        Cut "cut" 0 "the end of the stream after the request, without TLS's goodbye";
        HalfClose "half-close" 0 "a partner that ends its side and goes on reading";
        Status000 "status-000" 0 "the status 000";
        StatusLong "status-2000" 0 "a status of four digits";
        StatusNone "status-none" 0 "a status line without a status";
        SwitchingProtocols "switching-protocols" 101 "101, to a protocol nobody asked for";
        ReasonControl "reason-control" 0 "200 with control characters in the reason";
        ReasonUnknown "reason-unknown" 200 "200 with a reason of its own";
    }
    Head {
        HeadClose "head-close" 0 "a close within the headers";
        HeadReset "head-reset" 0 "a reset within the headers";
        HeadHang "head-hang" 0 "silence within the headers";
        SlowHead "slow-head" 0 "headers of one byte a second";
        EndlessHeaders "endless-headers" 0 "headers without end";
        ManyHeaders "many-headers" 0 "10,000 headers";
        LongHeader "long-header" 0 "a header of 1 MiB";
        HeaderNul "header-nul" 0 "a header with a NUL";
        HeaderCr "header-cr" 0 "a header with a bare CR";
        HeaderFold "header-fold" 0 "a header folded over two lines";
        HeaderName "header-name" 0 "a header whose name holds a space";
        NotHttp "not-http" 0 "an answer that is not HTTP";
        Http09 "http-0.9" 0 "a body without status and headers";
        Http10 "http-1.0" 200 "200 in HTTP/1.0, whose body ends with the connection";
        Http30 "http-3.0" 0 "a status line of HTTP/3.0";
    }
    Http2 {
        H2Preface "h2-preface" 0 "the preface of HTTP/2, though HTTP/1.1 was agreed";
        H2Settings "h2-settings" 0 "HTTP/2: SETTINGS, then silence";
        H2Goaway "h2-goaway" 0 "HTTP/2: GOAWAY";
        H2RstStorm "h2-rst-storm" 0 "HTTP/2: RST_STREAM without end";
        H2SettingsFlood "h2-settings-flood" 0 "HTTP/2: SETTINGS without end";
        H2PingFlood "h2-ping-flood" 0 "HTTP/2: PING without end";
        H2ContinuationFlood "h2-continuation-flood" 0 "HTTP/2: CONTINUATION without end";
        H2Push "h2-push" 0 "HTTP/2: PUSH_PROMISE";
        H2NoStreams "h2-no-streams" 0 "HTTP/2: SETTINGS that permit no stream";
        H2ZeroWindow "h2-zero-window" 0 "HTTP/2: SETTINGS with a window of nothing";
    }
    Interim {
        ContinueHang "continue-hang" 0 "100 Continue, then silence";
        ContinueStorm "continue-storm" 0 "100 Continue without end";
        EarlyHintsStorm "early-hints-storm" 0 "103 Early Hints without end";
        ContinueOk "continue-ok" 200 "100 Continue, then 200";
        EarlyHintsOk "early-hints-ok" 200 "103 Early Hints, then 200";
    }
    Length {
        LengthLong "length-long" 200 "200 with less body than it says, then a close";
        LengthHang "length-hang" 200 "200 with less body than it says, then silence";
        LengthShort "length-short" 200 "200 with more body than it says";
        LengthTwice "length-twice" 0 "two lengths that differ";
        LengthTwiceSame "length-twice-same" 200 "the same length twice";
        LengthNegative "length-negative" 0 "a negative length";
        LengthGarbage "length-garbage" 0 "a length that is not a number";
        LengthOverflow "length-overflow" 0 "a length of 30 digits";
        LengthAndChunked "length-and-chunked" 200 "a length and chunked coding";
        EncodingUnknown "encoding-unknown" 200 "a transfer coding that nobody knows";
        ChunkedEndless "chunked-endless" 200 "chunks without end";
        ChunkedTiny "chunked-tiny" 200 "chunks of one byte without end";
        ChunkedBadSize "chunked-bad-size" 200 "a chunk whose size is not a number";
        ChunkedOverflow "chunked-overflow" 200 "a chunk of 2^68 bytes";
        ChunkedClose "chunked-close" 200 "a close within a chunk";
        ChunkExtension "chunk-extension" 200 "a chunk extension without end";
        Trailers "trailers" 200 "trailers after the chunks";
        TrailersEndless "trailers-endless" 200 "trailers without end";
        NoContentBody "no-content-body" 204 "204 with a body";
        TwoAnswers "two-answers" 200 "two answers to one request";
    }
    Body {
        BodyReset "body-reset" 200 "a reset within the body";
        BodyCut "body-cut" 200 "a body that ends with the stream, without TLS's goodbye";
        GzipBomb "gzip-bomb" 200 "a compressed body of 1 GiB";
        GzipCut "gzip-cut" 200 "half of a compressed body";
        GzipFalse "gzip-false" 200 "a plain body that is called compressed";
        Charset "charset" 200 "a body in another charset than it says";
    }
    Idle {
        IdleClose "idle-close" 200 "200, then a close without notice";
        IdleReset "idle-reset" 200 "200, then a reset";
        IdleUnasked "idle-unasked" 200 "200, then another nobody asked for";
        ReuseClose "reuse-close" 200 "200, then a close when the next request has come";
        ReuseReset "reuse-reset" 200 "200, then a reset when the next request has come";
    }
}

impl Scripted {
    /// The moment it takes hold.
    #[must_use]
    pub const fn stage(self) -> Stage {
        match self.group() {
            Group::Connection | Group::Tls => Stage::Accept,
            Group::Early => Stage::Secured,
            Group::Answer
            | Group::Head
            | Group::Http2
            | Group::Interim
            | Group::Length
            | Group::Body
            | Group::Idle => Stage::Answer,
        }
    }
}

impl fmt::Display for Scripted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
