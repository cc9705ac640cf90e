//! The test vectors: six messages in compact form, one as published with its white space, and their
//! signatures under [`KEY`]. V1 to V4 are published samples, V5 and V6 are made up for what those lack
//! (custom texts, two ids of one device, regions, a leap day, day padding, a blank partner id).
//!
//! The files under `vectors/` hold the exact bytes, without a final newline, for any test to include.

/// The key of the published example.
pub(crate) const KEY: &[u8] = b"sample_partner_private_key";

/// One message.
#[derive(Debug)]
pub(crate) struct Vector {
    pub(crate) name: &'static str,
    pub(crate) bytes: &'static [u8],
    pub(crate) length: usize,
    pub(crate) sha256: &'static str,
    pub(crate) signatures: Signatures,
}

/// Base64 signatures of a vector by hash.
#[derive(Debug)]
pub(crate) struct Signatures {
    pub(crate) md5: &'static str,
    pub(crate) sha1: &'static str,
    pub(crate) sha256: &'static str,
}

/// The original sample: two users, one of them with a 43-digit device id.
pub(crate) const V1: Vector = Vector {
    name: "V1",
    bytes: include_bytes!("vectors/v1.json"),
    length: 666,
    sha256: "284f5619524353ee54faf2ed54b24307196a9fcb80e9605b7cfcb7740694bc21",
    signatures: Signatures {
        md5: "p/zZLYGa6VlHbEvjAk13yw==",
        sha1: "9H+EWubo2VnmMF4LH+YI0X/aVWo=",
        sha256: "uaFd2BKtZd9TUZX0DTNMW6MMRuc71OHLzNJ1jH79QD0=",
    },
};

/// The later edition of V1, with regions.
pub(crate) const V2: Vector = Vector {
    name: "V2",
    bytes: include_bytes!("vectors/v2.json"),
    length: 706,
    sha256: "c514a95369d2a366c0f34856c6d3969ea7f103d32d899cc50ab85f770eb2f0f6",
    signatures: Signatures {
        md5: "dBNhFnuA/2DRebC/Z6OQow==",
        sha1: "UvGrCh5TdYZdZF1D0pXgWB4vEqE=",
        sha256: "GzMvFZ+leyw1XGJEXttQo/RzlxGBORfLqh6LNr5oNME=",
    },
};

/// One user, but the published `User_count` is 2.
pub(crate) const V3: Vector = Vector {
    name: "V3",
    bytes: include_bytes!("vectors/v3.json"),
    length: 323,
    sha256: "6fe6c8e8511e93cf6326318229488a6890778c51a03b32fefef3caf030955cef",
    signatures: Signatures {
        md5: "8UIeyTlstORHs+RY0HW2Hw==",
        sha1: "kfRBFsuOR997+EEzk/5JctLquxI=",
        sha256: "aElp7BvSwNCQlk8c0C5omVmkoCnPqcLKMNiIBRDG+TY=",
    },
};

/// No `User_DPID`, ids made of two parts.
pub(crate) const V4: Vector = Vector {
    name: "V4",
    bytes: include_bytes!("vectors/v4.json"),
    length: 1154,
    sha256: "aa69e852c6d99710a66d20471a610e91adf0d489e15ee1a825bca01e1d6ec216",
    signatures: Signatures {
        md5: "El6OFW3JqJ02RxBeLRN4+g==",
        sha1: "GbecGOMQ2Qx7GvoTfdKQM2AjrgE=",
        sha256: "LmQAOccI202e4QraY3vU1vuKHk1W5iBB0eVRZxkvE+0=",
    },
};

/// One device under two ids leaves a segment with a custom text.
pub(crate) const V5: Vector = Vector {
    name: "V5",
    bytes: include_bytes!("vectors/v5.json"),
    length: 603,
    sha256: "6ebb81b75146ef2322c85f49ca3267cd8bad3dec3296d9ef96578386c2aadff5",
    signatures: Signatures {
        md5: "9dlvK7tmxytBp4CpRHjiQA==",
        sha1: "Jhu5kLBrMOLn9Zm4Fn5MjwKVkVc=",
        sha256: "5tPtfemG93BSjb55fqGI5Ryd8UsI0YixvUhXTFu6+TY=",
    },
};

/// Blank partner id.
pub(crate) const V6: Vector = Vector {
    name: "V6",
    bytes: include_bytes!("vectors/v6.json"),
    length: 309,
    sha256: "5edc93f58a6ae1a76803b1e5cfee68daf734736c251e7a553ad1c0cbbdd4cd0a",
    signatures: Signatures {
        md5: "70uKFz1dLrhncgI8GNOVkw==",
        sha1: "ZgqMby7oBlWHBqmw5bVF0SzB8r0=",
        sha256: "z+A3PXFYygBDs1DWllrajmVgWHNjhNklPNwkY9NnSUc=",
    },
};

/// All of them, in order.
pub(crate) const ALL: [&Vector; 6] = [&V1, &V2, &V3, &V4, &V5, &V6];

/// V1 exactly as published: indented, two lines end in two spaces.
pub(crate) const V1_PUBLISHED: &[u8] = include_bytes!("vectors/v1_published.json");
pub(crate) const V1_PUBLISHED_LENGTH: usize = 960;
pub(crate) const V1_PUBLISHED_SHA256: &str =
    "f3e3aa7dda415dc4c10d34b128b1773eac1087bf99ac9fca35c54a250c373c10";
pub(crate) const V1_PUBLISHED_SIGNATURE_SHA1: &str = "i+X0vRHdrGLfYr7MVdqdx25yCTw=";
