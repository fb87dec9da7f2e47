//! Proxies: which one a connect goes through, and the way through it.

use std::{env, net::IpAddr};

use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{
    address::{self, Address, without_user},
    dial,
    error::{Error, Kind, Result},
    handshake::Head,
    socket::Socket,
};

mod bypass;
mod http;
mod socks;

/// What a proxy is spoken to with.
#[derive(Clone, Debug, PartialEq)]
enum Scheme {
    /// HTTP CONNECT, with the value of `Proxy-Authorization`.
    Http { authorization: Option<String> },
    /// SOCKS5, with user and password, and whether the proxy looks up names.
    Socks5 { login: Option<socks::Login>, remote_names: bool },
}

/// A proxy.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proxy {
    pub host: String,
    pub port: u16,
    scheme: Scheme,
    /// Without user and password.
    shown: String,
}

/// What decides about the proxy of a connect and of its redirects.
#[derive(Clone)]
pub(crate) enum Choice {
    /// The option `proxy`.
    Option(Option<Proxy>),
    Environment(Environment),
}

/// The variables that speak of proxies, as they were when the connect began.
#[derive(Clone)]
pub(crate) struct Environment {
    /// Name and value of the variables that are for `ws://` and for `wss://`.
    plain: Option<(&'static str, String)>,
    secure: Option<(&'static str, String)>,
    no_proxy: String,
}

/// In the order in which they are looked at, as curl has it. `HTTP_PROXY` is not among them: in a
/// CGI program a client's header `Proxy` sets it.
const PLAIN: [&str; 5] = ["ws_proxy", "WS_PROXY", "http_proxy", "all_proxy", "ALL_PROXY"];
const SECURE: [&str; 6] = ["wss_proxy", "WSS_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"];

impl Choice {
    /// `option` is the option `proxy`; empty: the environment decides.
    ///
    /// The environment is read here, on the thread that connects, as a host changes it there if
    /// anywhere: a C program that calls `setenv` in another thread meanwhile has a race, with this
    /// call as with every `getenv`.
    pub(crate) fn new(option: &str) -> Result<Choice> {
        match option {
            "" => Ok(Choice::Environment(Environment::read(|name| {
                env::var_os(name).map(|value| value.to_string_lossy().into_owned())
            }))),
            "none" => Ok(Choice::Option(None)),
            text => Ok(Choice::Option(Some(Proxy::parse(text, "option proxy")?))),
        }
    }

    /// The proxy of this address; none for a Unix socket.
    pub(crate) fn choose(&self, address: &Address) -> Result<Option<Proxy>> {
        match self {
            _ if address.unix.is_some() => Ok(None),
            Choice::Option(proxy) => Ok(proxy.clone()),
            Choice::Environment(environment) => environment.choose(address),
        }
    }
}

impl Environment {
    fn read(get: impl Fn(&str) -> Option<String>) -> Environment {
        let get = |name: &&'static str| Some((*name, get(name).filter(|value| !value.is_empty())?));
        Environment {
            plain: PLAIN.iter().find_map(get),
            secure: SECURE.iter().find_map(get),
            no_proxy: ["no_proxy", "NO_PROXY"].iter().find_map(get).unwrap_or_default().1,
        }
    }

    fn choose(&self, address: &Address) -> Result<Option<Proxy>> {
        let variable = if address.secure { &self.secure } else { &self.plain };
        let Some((name, value)) = variable else { return Ok(None) };
        if bypass::is_local(&address.host) || bypass::matches(&self.no_proxy, &address.host, address.port) {
            return Ok(None);
        }
        Proxy::parse(value, name).map(Some)
    }
}

impl Proxy {
    /// `from` says where the text comes from.
    fn parse(text: &str, from: &str) -> Result<Proxy> {
        let fail = |what: &str| {
            let text = format!("{from} is {:?}: {what}", without_user(text));
            Err(Error::new(Kind::InvalidArgument, text))
        };
        // What has no scheme is an HTTP proxy, as everywhere.
        let url = if text.contains("://") { Url::parse(text) } else { Url::parse(&format!("http://{text}")) };
        let url = match url {
            Ok(url) => url,
            Err(e) => return fail(&e.to_string()),
        };
        let user: Vec<u8> = percent_decode_str(url.username()).collect();
        let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
        let has_user = !user.is_empty() || url.password().is_some();
        let (scheme, port) = match url.scheme() {
            "http" => (Scheme::Http { authorization: address::basic(&url) }, 80),
            "socks5" | "socks5h" => {
                // RFC 1929, 2
                if has_user && !((1..=255).contains(&user.len()) && (1..=255).contains(&password.len())) {
                    return fail("user and password of a SOCKS5 proxy have 1 to 255 bytes each");
                }
                let login = has_user.then_some(socks::Login { user, password });
                (Scheme::Socks5 { login, remote_names: url.scheme() == "socks5h" }, 1080)
            }
            _ => return fail("a proxy is http://host:port, socks5://host:port, socks5h://host:port or none"),
        };
        let (host, in_authority) = match url.host() {
            Some(Host::Domain(name)) if !name.is_empty() => (name.to_string(), name.to_string()),
            Some(Host::Ipv4(ip)) => (ip.to_string(), ip.to_string()),
            Some(Host::Ipv6(ip)) => (ip.to_string(), format!("[{ip}]")),
            _ => return fail("there is no host"),
        };
        let port = url.port().unwrap_or(port);
        if port == 0 {
            return fail("port 0 can't be connected to");
        }
        let shown = format!("{}://{in_authority}:{port}", url.scheme());
        Ok(Proxy { host, port, scheme, shown })
    }

    /// Has the proxy connect to an address, over a socket that is connected to the proxy.
    pub(crate) async fn tunnel(&self, socket: Socket, address: &Address) -> Result<Socket> {
        let mut held = Head::new(socket);
        let work = async {
            let stream = held.socket().map_err(|_| Kind::Internal)?;
            match &self.scheme {
                Scheme::Http { authorization } => {
                    http::connect(stream, address, authorization.as_deref()).await
                }
                Scheme::Socks5 { login, remote_names } => {
                    let ip = match address.host.parse::<IpAddr>() {
                        Ok(ip) => Some(ip),
                        Err(_) if *remote_names => None,
                        Err(_) => {
                            let found = dial::resolve(&address.host, address.port).await?;
                            found.first().map(|first| first.ip())
                        }
                    };
                    socks::connect(stream, ip, address, login.as_ref()).await
                }
            }
        };
        work.await.map_err(|e| self.blamed(e))?;
        held.release().map(|(socket, _)| socket).map_err(|_| Kind::Internal.into())
    }

    /// The same failure, told as the proxy's.
    pub(crate) fn blamed(&self, error: Error) -> Error {
        error.within(format_args!("the proxy {}", self.shown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(variables: &[(&str, &str)], address: &str) -> Result<Option<String>> {
        let get = |name: &str| variables.iter().find(|v| v.0 == name).map(|v| v.1.to_string());
        let choice = Choice::Environment(Environment::read(get));
        Ok(choice.choose(&Address::parse(address.as_bytes()).unwrap())?.map(|p| p.shown))
    }

    #[test]
    fn s06_proxies_are_taken_apart() {
        let p = Proxy::parse("http://u:p%40@[::1]:81/", "").unwrap();
        assert_eq!((&*p.host, p.port, &*p.shown), ("::1", 81, "http://[::1]:81"));
        assert_eq!(p.scheme, Scheme::Http { authorization: Some("Basic dTpwQA==".into()) });
        let p = Proxy::parse("proxy.test:3128", "").unwrap();
        assert_eq!((&*p.shown, p.scheme), ("http://proxy.test:3128", Scheme::Http { authorization: None }));
        let p = Proxy::parse("SOCKS5H://u:%ff@127.0.0.1", "").unwrap();
        let login = Some(socks::Login { user: b"u".into(), password: b"\xff".into() });
        assert_eq!((&*p.host, p.port), ("127.0.0.1", 1080));
        assert_eq!(p.scheme, Scheme::Socks5 { login, remote_names: true });
        let long = format!("socks5://u:{}@h", "p".repeat(256));
        for bad in
            ["", "://", "http://", "https://h", "socks4://h", "http://u:secret@h:0", "socks5://u@h", &long]
        {
            let error = Proxy::parse(bad, "option proxy").expect_err(bad);
            assert_eq!(error.kind, Kind::InvalidArgument);
            assert!(error.text.starts_with("option proxy is") && !error.text.contains("secret"), "{error}");
        }
    }

    #[test]
    fn s06_the_environment_names_a_proxy() {
        let all = [
            ("ALL_PROXY", "socks5://all"),
            ("http_proxy", "http://plain"),
            ("HTTPS_PROXY", "http://upper"),
            ("wss_proxy", ""),
        ];
        assert_eq!(chosen(&all, "ws://h/").unwrap().as_deref(), Some("http://plain:80"));
        assert_eq!(chosen(&all, "wss://h/").unwrap().as_deref(), Some("http://upper:80"));
        assert_eq!(chosen(&all[..1], "wss://h/").unwrap().as_deref(), Some("socks5://all:1080"));
        let first = [("ws_proxy", "a:1"), ("WS_PROXY", "b:1"), ("http_proxy", "c:1")];
        assert_eq!(chosen(&first, "ws://h/").unwrap().as_deref(), Some("http://a:1"));
        assert_eq!(chosen(&[("HTTP_PROXY", "http://evil")], "ws://h/").unwrap(), None);
        assert_eq!(chosen(&[("https_proxy", "http://p")], "ws://h/").unwrap(), None);
        assert_eq!(chosen(&[], "ws://h/").unwrap(), None);
    }

    #[test]
    fn s06_the_environment_names_what_goes_without_a_proxy() {
        let mut all = vec![("all_proxy", "p:1"), ("NO_PROXY", "example.test,h:81")];
        for (address, direct) in [
            ("ws://example.test/", true),
            ("ws://h/", false),
            ("ws://h:81/", true),
            ("ws://localhost/", true),
            ("ws://127.3.2.1/", true),
            ("ws://[::1]/", true),
            ("ws+unix:///s", true),
        ] {
            assert_eq!(chosen(&all, address).unwrap().is_none(), direct, "{address}");
        }
        all.push(("no_proxy", "other")); // the lower case comes first
        assert!(chosen(&all, "ws://example.test/").unwrap().is_some());
    }

    #[test]
    fn s06_a_proxy_of_the_environment_that_is_none_is_an_error_where_it_counts() {
        let bad = [("http_proxy", "ftp://u:secret@p"), ("no_proxy", "h")];
        assert_eq!(chosen(&bad, "ws://h/").unwrap(), None);
        assert_eq!(chosen(&bad, "wss://i/").unwrap(), None);
        let error = chosen(&bad, "ws://i/").unwrap_err();
        assert!(error.text.contains("http_proxy") && !error.text.contains("secret"), "{error}");
    }
}
