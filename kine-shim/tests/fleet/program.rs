//! The program as people run it, to be killed.

use std::process::{Child, Command, Stdio};

use helium_testkit::wait_for;

use super::client::{BOUND, Client};

/// A running kine-shim.
pub(crate) struct Program {
    child: Child,
    pub(crate) client: Client,
}

impl Program {
    /// Starts one, and waits until it answers.
    pub(crate) async fn start(database: &str, port: u16) -> Self {
        let address = format!("127.0.0.1:{port}");
        let mut child = Command::new(env!("CARGO_BIN_EXE_kine-shim"))
            .args(["--endpoint", database, "--listen-address", &address])
            .args(["--metrics-bind-address", "0"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program starts");
        wait_for("the program listens", BOUND, || {
            let ended = child.try_wait().expect("a child");
            assert!(ended.is_none(), "the program ended: {ended:?}");
            let address = address.clone();
            async move { tokio::net::TcpStream::connect(address).await.is_ok() }
        })
        .await;
        // The port takes connections from the start, and answers when the state is loaded.
        let client = Client::connect(&format!("http://{address}")).await;
        Self { child, client }
    }

    /// Kills it, as `kill -9` does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // One that was killed already is what we want.
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}
