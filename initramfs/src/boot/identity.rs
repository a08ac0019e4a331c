//! Who this node is: a machine id, and a name of two words drawn from it; both fresh at each boot, or kept on a stick.

use anyhow::{Context, Result};
use brant_types::node::is_node_name;
use rustix::rand::{GetRandomFlags, getrandom};
use std::fs;
use std::path::Path;

const HOW: &str = "able agile alert amber ample apt arch artful awake azure balmy blithe bold brave breezy brief bright \
brisk bronze calm candid chief civil clean clear clever cool copper coral cosy crisp curly dapper daring dear deft \
dewy double eager early earthy easy elder even exact fair famous fancy fast fiery fine firm fleet fluent fond frank \
free fresh frosty full gentle giant glad gleaming golden good grand great green hale handy happy hardy hasty hazel \
hearty honest humble icy ideal indigo ivory jade jaunty jolly jovial keen kind large lasting late lean light limber \
lively lofty loyal lucid lucky lunar mellow merry mighty mild misty modest neat nimble noble northern olive open \
orange patient pearly placid plain pleasant polar polite proud pure quick quiet rapid ready regal robust rosy royal \
ruby rugged rural russet sandy sage sharp shiny silent silver simple sleek smart smooth snowy snug sober solar solid \
sonic sound spare spry square stable stark steady stern still stout strong sturdy subtle sunny super sure swift tall \
tame tawny tender thrifty tidal tidy true trusty upbeat urban velvet vernal vital vivid warm wary western whole wild \
willing windy wise witty young zesty";

const WHO: &str = "albatross auk avocet babbler barbet bittern blackcap bluetit bobolink booby brambling brant bulbul \
bunting bustard buzzard canary caracara cardinal chaffinch chiffchaff chough coot cormorant corncrake courser crake \
crane crossbill crow cuckoo curlew dabchick darter dipper diver dotterel dove drongo duck dunlin dunnock eagle egret \
eider falcon fantail fieldfare finch firecrest flamingo flicker fulmar gadwall gannet garganey godwit goldcrest \
goldeneye goldfinch goosander goose goshawk grebe greenfinch greylag grouse guillemot gull harrier hawfinch hawk \
heron hobby honeyeater hoopoe hornbill ibis jabiru jacana jackdaw jaeger jay kestrel killdeer kingfisher kinglet kite \
kittiwake kiwi knot lapwing lark linnet loon lorikeet lyrebird magpie mallard manakin martin merganser merlin minivet \
moorhen munia mynah nightjar noddy nuthatch oriole osprey ostrich ouzel owl oystercatcher parakeet partridge peacock \
pelican penguin peregrine petrel pheasant phoebe pigeon pintail pipit pitta plover pochard prion ptarmigan puffin \
quail quetzal raven razorbill redpoll redshank redstart redwing rhea roadrunner robin roller rook ruff sanderling \
sandpiper scaup scoter serin shearwater shelduck shoveler shrike siskin skimmer skua skylark smew snipe sparrow \
spoonbill starling stilt stint stonechat stork sunbird swallow swan swift tanager teal tern thrush tit toucan treecreeper \
turnstone twite vireo wagtail warbler waxwing weaver wheatear whimbrel whinchat whitethroat wigeon willet woodcock \
woodlark woodpecker wren wryneck yellowhammer";

/// A node's identity for one boot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// 32 hexadecimal digits.
    pub(super) machine_id: String,
    /// One RFC 1123 label.
    pub(super) host_name: String,
    /// Whether somebody has chosen that; else it is drawn from the machine id.
    pub(super) is_named: bool,
}

impl Identity {
    /// That of the boot before where the root has kept it, else a new one; a name that was asked for wins.
    pub(super) fn kept_or_drawn(root: &Path, asked: Option<&str>) -> Result<Self> {
        match Self::kept(root) {
            Some(kept) => Ok(match asked {
                Some(asked) => Self { host_name: asked.to_owned(), is_named: true, ..kept },
                None => kept,
            }),
            None => Self::draw(asked),
        }
    }

    /// No image has these files.
    fn kept(root: &Path) -> Option<Self> {
        let read = |name: &str| Some(fs::read_to_string(root.join(name)).ok()?.trim().to_owned());
        let (machine_id, host_name) = (read("etc/machine-id")?, read("etc/hostname")?);
        let is_id = machine_id.len() == 32 && machine_id.bytes().all(|byte| byte.is_ascii_hexdigit());
        let drawn_from: Vec<u8> = (0..4)
            .filter_map(|at| u8::from_str_radix(machine_id.get(2 * at..2 * at + 2)?, 16).ok())
            .collect();
        let is_named = host_name != name_of(*drawn_from.first_chunk()?);
        (is_id && is_node_name(&host_name)).then_some(Self { machine_id, host_name, is_named })
    }

    fn draw(asked: Option<&str>) -> Result<Self> {
        let mut bytes = [0_u8; 16];
        let mut got = 0;
        while got < bytes.len() {
            got += getrandom(&mut bytes[got..], GetRandomFlags::empty()).context("drawing a machine id")?;
        }
        Ok(Self::from_random(bytes, asked))
    }

    fn from_random(mut bytes: [u8; 16], asked: Option<&str>) -> Self {
        // The form of a random UUID (RFC 9562), which other programs expect of a machine id.
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let machine_id = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let [a, b, c, d, ..] = bytes;
        let host_name = asked.map_or_else(|| name_of([a, b, c, d]), str::to_owned);
        Self { machine_id, host_name, is_named: asked.is_some() }
    }
}

/// Two words, by the beginning of the machine id.
fn name_of([a, b, c, d]: [u8; 4]) -> String {
    let pick = |list: &'static str, a: u8, b: u8| {
        let words: Vec<&str> = list.split(' ').collect();
        words[usize::from(u16::from_be_bytes([a, b])) % words.len()]
    };
    format!("{}-{}", pick(HOW, a, b), pick(WHO, c, d))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_words_make_labels_and_none_comes_twice() {
        for list in [HOW, WHO] {
            let words: Vec<&str> = list.split(' ').collect();
            assert!(
                words.iter().all(|word| !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase()))
            );
            assert_eq!(words.iter().collect::<HashSet<_>>().len(), words.len());
            assert!(words.len() > 190, "{}", words.len());
        }
    }

    #[test]
    fn a_machine_id_is_a_random_uuid_without_hyphens() {
        let identity = Identity::from_random([0xff; 16], None);
        assert_eq!(identity.machine_id, "ffffffffffff4fffbfffffffffffffff");
    }

    #[test]
    fn a_root_that_keeps_things_keeps_the_identity() {
        let root = tempfile::tempdir().unwrap();
        let etc = root.path().join("etc");
        fs::create_dir(&etc).unwrap();
        fs::write(etc.join("machine-id"), "0123456789abcdef0123456789abcdef\n").unwrap();
        assert_eq!(Identity::kept(root.path()), None);
        fs::write(etc.join("hostname"), "attic\n").unwrap();
        let kept = Identity::kept_or_drawn(root.path(), None).unwrap();
        assert_eq!((kept.host_name.as_str(), kept.is_named), ("attic", true));
        let asked = Identity::kept_or_drawn(root.path(), Some("cellar")).unwrap();
        assert_eq!((asked.host_name.as_str(), asked.machine_id), ("cellar", kept.machine_id));
        // One that was drawn is nobody's choice, also when it is kept.
        fs::write(etc.join("hostname"), name_of([0x01, 0x23, 0x45, 0x67])).unwrap();
        assert!(!Identity::kept(root.path()).unwrap().is_named);
        fs::write(etc.join("machine-id"), "uninitialized\n").unwrap();
        assert_eq!(Identity::kept(root.path()), None);
    }

    #[test]
    fn the_name_follows_from_the_machine_id_unless_one_was_asked_for() {
        let one = Identity::from_random([7; 16], None);
        assert_eq!(one, Identity::from_random([7; 16], None));
        assert_eq!(one.host_name.split('-').count(), 2);
        assert_eq!(Identity::from_random([7; 16], Some("bench-1")).host_name, "bench-1");
    }
}
