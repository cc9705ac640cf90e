//! Certificates: made, taken, refused.

use crate::client::{Client, SAMPLE, handshake, message, receiver};
use std::{error::Error, fs, os::unix::fs::PermissionsExt, path::Path};
use tidings_receiver::{ReceiverSettings, StartError, start};

fn with_dir(dir: &Path) -> ReceiverSettings {
    ReceiverSettings {
        tls_dir: Some(dir.to_owned()),
        ..ReceiverSettings::default()
    }
}

/// The chain of errors of a start that must fail, without the directory's name.
async fn refused(dir: &Path) -> String {
    let mut error: &dyn Error = &start(with_dir(dir)).await.unwrap_err();
    let mut text = error.to_string();
    while let Some(source) = error.source() {
        text.push_str(": ");
        text.push_str(&source.to_string());
        error = source;
    }
    text.replace(&dir.display().to_string(), "DIR")
}

#[tokio::test]
async fn makes_files_once_and_takes_them_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let first = receiver(with_dir(&dir)).await;
    let ca_pem = first.ca_pem().to_owned();
    assert_eq!(fs::read_to_string(dir.join("ca.pem")).unwrap(), ca_pem);
    let mode = fs::metadata(dir.join("key.pem"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
    let mut names: Vec<_> = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(names, ["ca.pem", "cert.pem", "faulty.pem", "key.pem"]);
    first.shutdown().await;

    let second = receiver(with_dir(&dir)).await;
    assert_eq!(second.ca_pem(), ca_pem);
    handshake(&second, &ca_pem, "localhost").await.unwrap();
}

#[tokio::test]
async fn is_trusted_by_its_ca_under_its_names_alone() {
    let settings = ReceiverSettings {
        tls_names: vec!["receiver.test".to_owned()],
        ..ReceiverSettings::default()
    };
    let running = receiver(settings).await;
    for name in ["localhost", "127.0.0.1", "::1", "receiver.test"] {
        handshake(&running, running.ca_pem(), name).await.unwrap();
    }
    let other_name = handshake(&running, running.ca_pem(), "other.test").await;
    assert!(other_name.is_err());
    let stranger = receiver(ReceiverSettings::default()).await;
    let other_ca = handshake(&running, stranger.ca_pem(), "localhost").await;
    assert!(other_ca.is_err());
    // It goes on serving after handshakes that failed.
    let mut client = Client::connect(&running).await.unwrap();
    client.send(message(SAMPLE, &[])).await.unwrap();
    assert_eq!(running.stats().handshakes_failed, 2);
}

#[tokio::test]
async fn names_the_file_that_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    drop(receiver(with_dir(dir.path())).await);

    let cert = fs::read(dir.path().join("cert.pem")).unwrap();
    fs::write(dir.path().join("cert.pem"), "nonsense").unwrap();
    insta::assert_snapshot!(refused(dir.path()).await, @"could not prepare TLS: DIR/cert.pem: holds no certificate in PEM");
    fs::write(dir.path().join("cert.pem"), cert).unwrap();

    let key = fs::read(dir.path().join("key.pem")).unwrap();
    fs::write(dir.path().join("key.pem"), "").unwrap();
    insta::assert_snapshot!(refused(dir.path()).await, @"could not prepare TLS: DIR/key.pem: not a private key in PEM: no items found");

    let other = tempfile::tempdir().unwrap();
    drop(receiver(with_dir(other.path())).await);
    fs::copy(other.path().join("key.pem"), dir.path().join("key.pem")).unwrap();
    insta::assert_snapshot!(refused(dir.path()).await, @"could not prepare TLS: could not set up the TLS certificate: keys may not be consistent: KeyMismatch");
    fs::write(dir.path().join("key.pem"), key).unwrap();

    fs::remove_file(dir.path().join("ca.pem")).unwrap();
    insta::assert_snapshot!(refused(dir.path()).await, @"could not prepare TLS: TLS directory DIR lacks ca.pem; add it, or remove cert.pem and key.pem to have all three made");

    fs::create_dir(dir.path().join("ca.pem")).unwrap();
    insta::assert_snapshot!(refused(dir.path()).await, @"could not prepare TLS: could not read DIR/ca.pem: Is a directory (os error 21)");
}

#[tokio::test]
async fn faults_of_certificates_need_the_bad_ones() {
    let dir = tempfile::tempdir().unwrap();
    let expired = || ReceiverSettings {
        faults: vec!["tls-expired".parse().unwrap()],
        ..with_dir(dir.path())
    };
    let running = receiver(expired()).await;
    assert!(
        handshake(&running, running.ca_pem(), "localhost")
            .await
            .is_err()
    );
    drop(running);
    fs::remove_file(dir.path().join("faulty.pem")).unwrap();
    let error = start(expired()).await.unwrap_err();
    assert!(
        matches!(error, StartError::Tls(ref source) if source.to_string().contains("the fault tls-expired needs faulty.pem"))
    );
    drop(receiver(with_dir(dir.path())).await);
}

#[tokio::test]
async fn names_the_address_in_use_and_the_record_that_cannot_be_opened() {
    let running = receiver(ReceiverSettings::default()).await;
    let settings = ReceiverSettings {
        listen: running.local_addr(),
        ..ReceiverSettings::default()
    };
    let error = start(settings).await.unwrap_err();
    assert!(matches!(error, StartError::Listen { address, .. } if address == running.local_addr()));

    let settings = ReceiverSettings {
        record: Some("/nowhere/record.jsonl".into()),
        ..ReceiverSettings::default()
    };
    let error = start(settings).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "could not open the record /nowhere/record.jsonl"
    );
}
