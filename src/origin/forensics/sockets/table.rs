//! All sockets of the host, read in one go, for finding many of them by their inodes.

use std::collections::HashMap;

use super::{ByState, SocketRow, TcpRow, TcpState, all_tcp, all_unix};
use crate::origin::forensics::seen::Seen;

/// Every TCP and unix socket by its inode, read in one go.
#[derive(Debug, Clone, Default)]
pub(in crate::origin::forensics) struct Table {
    rows: HashMap<u64, SocketRow>,
    unaccepted: Vec<TcpRow>,
}

impl Table {
    /// Reads the tables. The unix one may stay empty without hiding the rest.
    pub(in crate::origin::forensics) fn read() -> Seen<Self> {
        let tcp = all_tcp(false, None);
        let unix = all_unix(false);
        tcp.map(|rows| {
            let mut table = Self::default();
            for row in rows {
                match row.inode {
                    0 => table.unaccepted.push(row),
                    inode => drop(table.rows.insert(inode, SocketRow::Tcp(row))),
                }
            }
            let unix = unix.known().cloned().unwrap_or_default();
            table.rows.extend(
                unix.into_iter()
                    .map(|row| (row.inode, SocketRow::Unix(row))),
            );
            table
        })
    }

    /// The socket with this inode.
    pub(in crate::origin::forensics) fn row(&self, inode: u64) -> Option<&SocketRow> {
        self.rows.get(&inode)
    }

    /// How many of the sockets `inodes` are TCP and stand where.
    pub(in crate::origin::forensics) fn by_state(
        &self,
        inodes: impl IntoIterator<Item = u64>,
    ) -> ByState {
        let mut counts = ByState::new();
        for inode in inodes {
            if let Some(SocketRow::Tcp(row)) = self.rows.get(&inode) {
                *counts.entry(row.state).or_default() += 1;
            }
        }
        counts
    }

    /// Every TCP connection whose own end is on `port`, whoever owns it.
    pub(in crate::origin::forensics) fn on_port(&self, port: u16) -> impl Iterator<Item = &TcpRow> {
        let owned = self.rows.values().filter_map(|row| match row {
            SocketRow::Tcp(row) => Some(row),
            SocketRow::Unix(_) => None,
        });
        owned
            .chain(&self.unaccepted)
            .filter(move |row| row.local.port() == port && row.state != TcpState::Listen)
    }
}
