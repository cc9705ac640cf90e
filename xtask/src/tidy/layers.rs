//! Which crate may use which. The table below is the law; a crate that is not in it is a fault.
//!
//! A crate uses only rows above its own. Within a row, and from a row to the side, only what
//! `EXCEPTIONS` lists. Side crates (tests and tools) may use everything. What tests use is free:
//! only normal and build dependencies count, optional ones included.
//!
//! Cores are pure: no clock, no file, no socket, no runtime. Here they are kept from crates that
//! bring these; what the standard library offers is the matter of `purity`.

use super::Fault;
use cargo_metadata::DependencyKind;

/// A package and what it needs in order to be built.
pub(super) struct Package {
    name: String,
    dependencies: Vec<String>,
}

impl Package {
    /// Keeps normal and build dependencies.
    pub(super) fn new(package: &cargo_metadata::Package) -> Self {
        Self {
            name: package.name.to_string(),
            dependencies: package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect(),
        }
    }
}

/// A line of the table.
struct Layer {
    name: &'static str,
    place: Place,
    /// Kept from the crates of `IMPURE`.
    pure: bool,
    /// If present, the only crates of the workspace it may use.
    only: Option<&'static [&'static str]>,
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    /// 0 is the vocabulary; a higher number is further from it.
    Row(u8),
    /// Tests and tools.
    Side,
}

impl Layer {
    const fn row(row: u8, name: &'static str) -> Self {
        Self {
            name,
            place: Place::Row(row),
            pure: false,
            only: None,
        }
    }

    const fn side(name: &'static str) -> Self {
        Self {
            name,
            place: Place::Side,
            pure: false,
            only: None,
        }
    }

    const fn pure(self) -> Self {
        Self { pure: true, ..self }
    }

    const fn only(self, only: &'static [&'static str]) -> Self {
        Self {
            only: Some(only),
            ..self
        }
    }
}

const LAYERS: &[Layer] = &[
    // Vocabulary.
    Layer::row(0, "tidings-model").pure(),
    // Cores: decisions and formats. The message format alone is of use to a partner, so it brings
    // no other crate of ours along.
    Layer::row(1, "tidings-rules").pure(),
    Layer::row(1, "tidings-engine").pure(),
    Layer::row(1, "tidings-wire").pure().only(&[]),
    Layer::row(1, "tidings-dispatch").pure(),
    // Adapters: one outside thing each.
    Layer::row(2, "tidings-store"),
    Layer::row(2, "tidings-egress"),
    Layer::row(2, "tidings-catalog"),
    // Shells: tasks, channels, routes.
    Layer::row(3, "tidings-collect"),
    Layer::row(3, "tidings-runtime"),
    Layer::row(3, "tidings-admin"),
    // The binary.
    Layer::row(4, "tidings"),
    // Tests and tools. The receiver judges what the sender sends: it shares the format with it and
    // nothing else, or a mistake could hide on both ends.
    Layer::side("tidings-receiver").only(&["tidings-model", "tidings-wire"]),
    // The oracle judges the engine: it shares the vocabulary with it and nothing else, for the same
    // reason. Its tests know both.
    Layer::side("tidings-oracle").only(&["tidings-model"]),
    Layer::side("tidings-sim"),
    Layer::side("tidings-benches"),
    Layer::side("tidings-fuzz"),
    Layer::side("xtask").only(&[]),
];

/// Uses that the rows alone would forbid: the user, then what it uses.
const EXCEPTIONS: &[(&str, &str)] = &[
    // Segments are evaluated by compiled rules.
    ("tidings-engine", "tidings-rules"),
    // The server wires the collecting routes to the engine's queue.
    ("tidings-runtime", "tidings-collect"),
    // `demo` and `receiver` run the reference partner.
    ("tidings", "tidings-receiver"),
];

/// Crates that bring a clock, a file, a socket, entropy, a thread or a runtime.
const IMPURE: &[&str] = &[
    "axum",
    "crossbeam-channel",
    "fjall",
    "getrandom",
    "hickory-resolver",
    "hyper",
    "hyper-util",
    "mio",
    "rayon",
    "reqwest",
    "rustix",
    "rustls",
    "rustls-native-certs",
    "socket2",
    "tempfile",
    "tokio",
    "tokio-rustls",
    "tower",
    "tracing-subscriber",
];

/// Faults of the graph, in its order.
pub(super) fn check(packages: &[Package]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for package in packages {
        let Some(layer) = layer(&package.name) else {
            faults.push(format!(
                "{}: not in the table of layers, give it a row in {}",
                package.name,
                file!()
            ));
            continue;
        };
        for used in &package.dependencies {
            if let Err(reason) = judge(layer, used) {
                faults.push(format!("{} must not use {used}: {reason}", package.name));
            }
        }
    }
    faults
}

/// Whether the crate of this layer may use the crate `used`, and if not, why.
fn judge(user: &Layer, used: &str) -> Result<(), String> {
    let Some(target) = layer(used) else {
        if user.pure && IMPURE.contains(&used) {
            return Err("a core has no I/O, clock or runtime".to_owned());
        }
        return Ok(());
    };
    if let Some(only) = user.only {
        return match (only.contains(&used), only) {
            (true, _) => Ok(()),
            (false, []) => Err("it uses no other crate of the workspace".to_owned()),
            (false, only) => Err(format!("it uses only {}", only.join(", "))),
        };
    }
    if EXCEPTIONS.contains(&(user.name, used)) {
        return Ok(());
    }
    match (user.place, target.place) {
        (Place::Side, _) => Ok(()),
        (Place::Row(_), Place::Side) => Err("it is a tool, for tests only".to_owned()),
        (Place::Row(from), Place::Row(to)) if to < from => Ok(()),
        (Place::Row(from), Place::Row(to)) => Err(format!("row {from} may not use row {to}")),
    }
}

/// Names of the crates that are pure.
pub(super) fn cores() -> impl Iterator<Item = &'static str> {
    LAYERS
        .iter()
        .filter(|layer| layer.pure)
        .map(|layer| layer.name)
}

fn layer(name: &str) -> Option<&'static Layer> {
    LAYERS.iter().find(|layer| layer.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `graph` holds a crate a line: `name: what it uses`.
    #[track_caller]
    fn check_graph(graph: &str, expected: &[&str]) {
        let packages: Vec<Package> = graph
            .lines()
            .map(|line| {
                let (name, used) = line.split_once(':').unwrap();
                Package {
                    name: name.trim().to_owned(),
                    dependencies: used.split_whitespace().map(str::to_owned).collect(),
                }
            })
            .collect();
        assert_eq!(check(&packages), expected);
    }

    #[test]
    fn rows_above_and_exceptions_are_fine() {
        check_graph(
            "tidings-model: jiff thiserror
             tidings-engine: tidings-model tidings-rules hashbrown
             tidings-store: tidings-engine fjall
             tidings-runtime: tidings-collect tidings-store tokio
             tidings: tidings-runtime tidings-receiver
             tidings-receiver: tidings-wire tidings-model tokio
             tidings-sim: tidings-runtime tidings-receiver
             xtask: clap",
            &[],
        );
    }

    #[test]
    fn the_other_direction_is_a_fault() {
        check_graph(
            "tidings-model: tidings-rules
             tidings-rules: tidings-engine
             tidings-store: tidings-egress
             tidings-collect: tidings-runtime",
            &[
                "tidings-model must not use tidings-rules: row 0 may not use row 1",
                "tidings-rules must not use tidings-engine: row 1 may not use row 1",
                "tidings-store must not use tidings-egress: row 2 may not use row 2",
                "tidings-collect must not use tidings-runtime: row 3 may not use row 3",
            ],
        );
    }

    #[test]
    fn cores_stay_pure() {
        check_graph(
            "tidings-engine: tokio
             tidings-wire: tidings-model
             tidings-egress: tokio",
            &[
                "tidings-engine must not use tokio: a core has no I/O, clock or runtime",
                "tidings-wire must not use tidings-model: it uses no other crate of the workspace",
            ],
        );
    }

    #[test]
    fn tools_are_not_shipped() {
        check_graph(
            "tidings-runtime: tidings-receiver
             tidings-receiver: tidings-engine",
            &[
                "tidings-runtime must not use tidings-receiver: it is a tool, for tests only",
                "tidings-receiver must not use tidings-engine: it uses only tidings-model, tidings-wire",
            ],
        );
    }

    #[test]
    fn a_new_crate_needs_a_row() {
        check_graph(
            "tidings-kafka: tidings-model",
            &[
                "tidings-kafka: not in the table of layers, give it a row in xtask/src/tidy/layers.rs",
            ],
        );
    }

    #[test]
    fn a_crate_is_listed_once() {
        for one in LAYERS {
            let count = LAYERS.iter().filter(|other| other.name == one.name).count();
            assert_eq!(count, 1, "{}", one.name);
        }
    }
}
