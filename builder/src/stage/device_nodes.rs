//! Nodes in /dev that load a module when somebody opens them, as lines of tmpfiles.d. A stock
//! Debian asks `kmod static-nodes` for them at every boot; an image knows them when it is built.

use std::collections::BTreeSet;

/// The lines for a kernel's `modules.devname`, as kmod-static-nodes(8) writes them: folders first.
/// A line that is none of the file's form is left out, as kmod does. Pure.
#[must_use]
pub fn tmpfiles(devname: &str) -> String {
    let nodes: Vec<Node<'_>> = devname.lines().filter_map(Node::parse).collect();
    let folders: BTreeSet<&str> =
        nodes.iter().filter_map(|node| Some(node.name.rsplit_once('/')?.0)).collect();
    let mut text = String::from("# Made by the image builder from the kernel's modules.devname.\n");
    for folder in folders {
        text.push_str(&format!("d /dev/{folder} 0755 - - -\n"));
    }
    for Node { name, kind, number } in nodes {
        text.push_str(&format!("{kind}! /dev/{name} 0600 - - - {number}\n"));
    }
    text
}

struct Node<'a> {
    name: &'a str,
    /// `c` or `b`.
    kind: char,
    /// `MAJOR:MINOR`.
    number: &'a str,
}

impl<'a> Node<'a> {
    /// A line as `tun net/tun c10:200`.
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (module, name, device) = (words.next()?, words.next()?, words.next()?);
        let kind = device.chars().next().filter(|kind| matches!(kind, 'b' | 'c'))?;
        let number = &device[1..];
        let (major, minor) = number.split_once(':')?;
        let is_number = |text: &str| text.parse::<u32>().is_ok();
        let is_node = !module.starts_with('#') && is_number(major) && is_number(minor);
        is_node.then_some(Self { name, kind, number })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_in_a_folder_comes_after_its_folder() {
        let text = "# Device nodes\nloop loop-control c10:237\ntun net/tun c10:200\n";
        let expected = "d /dev/net 0755 - - -\n\
                        c! /dev/loop-control 0600 - - - 10:237\n\
                        c! /dev/net/tun 0600 - - - 10:200\n";
        assert!(tmpfiles(text).ends_with(expected), "{}", tmpfiles(text));
    }

    #[test]
    fn what_is_no_node_makes_none() {
        let text = "# a b c10:1\nx\nx y z10:1\nx y c10\nx y c10:q\n";
        assert_eq!(tmpfiles(text).lines().count(), 1);
    }

    #[test]
    fn fuzz_devices_of_modules() {
        basalt_fuzz::run_on_text!(&["# a\ntun net/tun c10:200", "a b \u{e4}10:1"], |text| {
            text.lines().filter_map(Node::parse).for_each(|node| {
                assert!(matches!(node.kind, 'b' | 'c') && node.number.contains(':'));
            });
        });
    }
}
