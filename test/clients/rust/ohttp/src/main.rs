//! Both ends of Oblivious HTTP, by the `ohttp` and `bhttp` crates, as a program that answers lines: the client's end and
//! the application gateway's. Bodies and what is sealed are hex; an empty body is `-`.
//!
//!     config                                  -> the gateway's key configurations (application/ohttp-keys)
//!     seal CONFIG METHOD AUTHORITY PATH BODY  -> ID SEALED                         the client encapsulates a request
//!     open ID SEALED                          -> STATUS BODY                       and reads what came back
//!     receive SEALED                          -> ID METHOD AUTHORITY PATH BODY     the gateway reads a request
//!     reply ID STATUS BODY                    -> SEALED                            and encapsulates its answer

use std::collections::HashMap;
use std::io::{self, BufRead, Cursor, Write};

use bhttp::{Message, Mode};
use ohttp::hpke::{Aead, Kdf, Kem};
use ohttp::{ClientRequest, ClientResponse, KeyConfig, Server, ServerResponse, SymmetricSuite};

type Failure = Box<dyn std::error::Error>;

fn encoded(mut message: Message, body: &str) -> Result<Vec<u8>, Failure> {
    if body != "-" {
        message.write_content(hex::decode(body)?);
    }
    let mut bytes = Vec::new();
    message.write_bhttp(Mode::KnownLength, &mut bytes)?;
    Ok(bytes)
}

fn decoded(bytes: &[u8]) -> Result<(Message, String), Failure> {
    let message = Message::read_bhttp(&mut Cursor::new(bytes))?;
    let body = if message.content().is_empty() { "-".to_string() } else { hex::encode(message.content()) };
    Ok((message, body))
}

fn text(bytes: Option<&[u8]>) -> String {
    String::from_utf8_lossy(bytes.unwrap_or_default()).into_owned()
}

fn main() -> Result<(), Failure> {
    ohttp::init();
    let suites = vec![SymmetricSuite::new(Kdf::HkdfSha256, Aead::Aes128Gcm)];
    let config = KeyConfig::new(1, Kem::X25519Sha256, suites)?;
    let configurations = hex::encode(KeyConfig::encode_list(&[&config])?);
    let server = Server::new(config)?;
    let mut asked: HashMap<usize, ClientResponse> = HashMap::new();
    let mut received: HashMap<usize, ServerResponse> = HashMap::new();
    for (id, line) in io::stdin().lock().lines().enumerate() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words[..] {
            ["config"] => configurations.clone(),
            ["seal", config, method, authority, path, body] => {
                let client = ClientRequest::from_encoded_config_list(&hex::decode(config)?)?;
                let request = Message::request(method.into(), "https".into(), authority.into(), path.into());
                let (sealed, response) = client.encapsulate(&encoded(request, body)?)?;
                asked.insert(id, response);
                format!("{id} {}", hex::encode(sealed))
            }
            ["open", id, sealed] => {
                let response = asked.remove(&id.parse()?).ok_or("no such request")?;
                let (message, body) = decoded(&response.decapsulate(&hex::decode(sealed)?)?)?;
                let status = message.control().status().ok_or("not a response")?;
                format!("{} {body}", status.code())
            }
            ["receive", sealed] => {
                let (request, response) = server.decapsulate(&hex::decode(sealed)?)?;
                received.insert(id, response);
                let (message, body) = decoded(&request)?;
                let control = message.control();
                format!("{id} {} {} {} {body}", text(control.method()), text(control.authority()), text(control.path()))
            }
            ["reply", id, status, body] => {
                let sealing = received.remove(&id.parse()?).ok_or("no such request")?;
                let response = Message::response(status.parse::<u16>()?.try_into()?);
                hex::encode(sealing.encapsulate(&encoded(response, body)?)?)
            }
            _ => return Err(format!("no such command: {line}").into()),
        };
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}
