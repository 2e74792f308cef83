//! One session of MoQ Transport draft-07 with a relay, by `moq-transport`: what it does is told by lines on stdin, what it
//! sees is told by lines on stdout. Lines that begin with "log" are the library's own, of the messages on the wire.
use std::{
    collections::HashMap,
    error::Error,
    net::{Ipv4Addr, UdpSocket},
    sync::Arc,
};

use bytes::Bytes;
use moq_transport::{
    coding::Tuple,
    serve::{self, SubgroupWriter, SubgroupsWriter, TrackReaderMode, TracksWriter},
    session::{Publisher, Session, Subscriber},
};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::{pem::PemObject, CertificateDer};
use tokio::io::{AsyncBufReadExt, BufReader};

/// Prints what the library logs of its messages.
struct Printer;

impl log::Log for Printer {
    fn enabled(&self, metadata: &log::Metadata) -> bool {
        metadata.target().starts_with("moq_transport")
    }

    fn log(&self, record: &log::Record) {
        let line = record.args().to_string();
        if self.enabled(record.metadata()) && !line.contains("payload") {
            println!("log {}", line.replace('\n', " "));
        }
    }

    fn flush(&self) {}
}

struct Published {
    groups: SubgroupsWriter,
    group: Option<SubgroupWriter>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    log::set_logger(&Printer)?;
    log::set_max_level(log::LevelFilter::Trace);
    let mut arguments = std::env::args().skip(1);
    let url = url::Url::parse(&arguments.next().ok_or("no URL")?)?;
    let endpoint = endpoint(&arguments.next().ok_or("no certificate")?)?;

    let transport = web_transport_quinn::connect(&endpoint, &url).await?;
    println!("connected {}", endpoint.local_addr()?.port());
    let (session, mut publisher, subscriber) = Session::connect(transport.into()).await?;
    println!("setup");
    tokio::spawn(async move {
        let end = session.run().await;
        println!("ended {end:?}");
    });

    let mut broadcasts: HashMap<String, TracksWriter> = HashMap::new();
    let mut published: HashMap<String, Published> = HashMap::new();
    let mut subscribed: HashMap<String, tokio::task::JoinHandle<()>> = HashMap::new();
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["announce", namespace] => {
                broadcasts.insert(namespace.into(), announce(&mut publisher, namespace));
            }
            ["unannounce", namespace] => {
                broadcasts.remove(namespace);
            }
            ["track", namespace, name] => {
                let writer = broadcasts.get_mut(namespace).ok_or("not announced")?.create(name).ok_or("no reader")?;
                published.insert(name.into(), Published { groups: writer.groups()?, group: None });
            }
            ["object", name, group, payload] => {
                write(published.get_mut(name).ok_or("no track")?, group.parse()?, hex::decode(payload)?.into())?;
            }
            // Ends the group that is open.
            ["end", name] => published.get_mut(name).ok_or("no track")?.group = None,
            ["subscribe", namespace, name] => {
                subscribed.insert(name.into(), subscribe(subscriber.clone(), namespace, name));
            }
            ["unsubscribe", name] => {
                subscribed.remove(name).ok_or("not subscribed")?.abort();
            }
            ["rebind"] => {
                endpoint.rebind(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?)?;
                println!("rebound {}", endpoint.local_addr()?.port());
            }
            _ => return Err(format!("unknown command: {line}").into()),
        }
    }
    endpoint.close(0u32.into(), b"");
    Ok(())
}

/// An endpoint that trusts this certificate alone.
fn endpoint(certificate: &str) -> Result<quinn::Endpoint, Box<dyn Error>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(certificate)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![web_transport_quinn::ALPN.to_vec()];
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::LOCALHOST, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)));
    Ok(endpoint)
}

fn announce(publisher: &mut Publisher, namespace: &str) -> TracksWriter {
    let (writer, _, reader) = serve::Tracks::new(Tuple::from_utf8_path(namespace)).produce();
    let mut publisher = publisher.clone();
    let namespace = namespace.to_owned();
    tokio::spawn(async move {
        let end = publisher.announce(reader).await;
        println!("unannounced {namespace} {end:?}");
    });
    writer
}

fn write(track: &mut Published, group: u64, payload: Bytes) -> Result<(), Box<dyn Error>> {
    if track.group.as_ref().is_none_or(|open| open.group_id != group) {
        let subgroup = serve::Subgroup { group_id: group, subgroup_id: 0, priority: 127 };
        track.group = Some(track.groups.create(subgroup)?);
    }
    track.group.as_mut().ok_or("no group")?.write(payload)?;
    Ok(())
}

fn subscribe(mut subscriber: Subscriber, namespace: &str, name: &str) -> tokio::task::JoinHandle<()> {
    let (writer, reader) = serve::Track::new(Tuple::from_utf8_path(namespace), name.to_owned()).produce();
    let name = name.to_owned();
    tokio::spawn(async move {
        let reading = async {
            let TrackReaderMode::Subgroups(mut groups) = reader.mode().await? else {
                return Err(serve::ServeError::Mode);
            };
            while let Some(mut group) = groups.next().await? {
                let mut object = 0;
                while let Some(payload) = group.read_next().await? {
                    println!("object {name} {} {object} {}", group.group_id, hex::encode(payload));
                    object += 1;
                }
            }
            Ok(())
        };
        let (subscription, read) = tokio::join!(subscriber.subscribe(writer), reading);
        println!("done {name} {subscription:?} {read:?}");
    })
}
