//! What can be typed.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use estafette::limits::DEVICE_NAME_BYTES_MAX;
use estafette::{Attribute, Audience, DeviceId, LinkUrl, ReportReason, Status};

const AFTER: &str = "\
Numbers may be typed with spaces and dashes, with a plus sign or 00 before the country code. \
Whoever is in your contacts may be called by name.

Exit codes:
  0  done
  1  failed
  2  wrong usage
  3  no number is registered here, or the device was signed out
  4  the server does not answer
  5  the time was up; messages that wait are sent the next time
  6  the server refused
  7  interrupted; the same command goes on where it stopped

Examples:
  estafette register +33612345678
  estafette link --name laptop
  estafette chat +33687654321
  estafette send Alice \"The train leaves at 9.\"
  estafette send Alice \"Look!\" --file beach.jpg
  estafette fetch Alice
  make 2>&1 | tail -n 20 | estafette send Alice
  estafette --json listen --read | jq -r .text";

/// What is said of the address book, wherever something of it may leave.
const ADDRESS_BOOK: &str = "\
Your address book stays on this machine. Only `contacts find` sends numbers of it, to look them up, \
and the server keeps none of those. Only while something is shown to `contacts`, the server keeps the \
numbers of your contacts, without names, since it decides who sees it. When nothing is any more, it \
forgets them.";

const FIND: &str = "\
Those are found who let you find them, if you let them find you: `estafette privacy set number \
everyone`. At first nobody is found by anybody. The server is sent the numbers, and keeps none of them, \
found or not. It answers 5,000 numbers, and then 200 a day.

Examples:
  estafette contacts find +33612345678 \"+49 151 12345678\"
  estafette contacts find --file contacts.vcf";

const PRIVACY: &str = "\
Without a command, prints who sees what, who is an exception, and who is blocked. Who hides \
something from somebody does not see it of them either; only of the profile they do.";

const PROFILE: &str = "\
Without a command, prints your own. `estafette privacy set profile` chooses who sees it: at first, \
whoever knows your number. The server can read name and text; it keeps the picture as it was \
encrypted here, and what opens it.";

const PRIVACY_SET: &str = "\
An exception means the opposite of the audience for one person: it is hidden from somebody who would \
see it, and shown to somebody who would not. Another audience takes the exceptions of before away. \
The server keeps the numbers of those who are one.";

const PIN: &str = "\
Without a command, says whether there is a PIN. It is 4 to 12 digits, asked for after the code when \
the number is registered again, and never leaves this machine: the server gets what is made of it. \
After wrong ones it cannot be tried for longer and longer. A PIN that is lost opens once none of your \
devices was there for seven days. Without a terminal, it is read from standard input.";

/// Messages over Estafette, from the command line.
#[derive(Debug, Parser)]
#[command(name = "estafette", version, after_help = AFTER, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub(crate) struct Args {
    /// Which device, when there is more than one on this machine
    #[arg(long, global = true, env = "ESTAFETTE_PROFILE", value_name = "NAME")]
    #[arg(default_value = "default", hide_env_values = true, value_parser = profile_name)]
    pub(crate) profile: String,
    /// Where profiles are kept [default: estafette in the user's data directory]
    #[arg(long, global = true, env = "ESTAFETTE_DIR", value_name = "DIR", hide_env_values = true)]
    pub(crate) dir: Option<PathBuf>,
    /// Print one JSON object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Prove a phone number with a code, and make this its device
    Register(Register),
    /// Make this another device of a number, with the approval of one it has
    Link(Link),
    /// Send a message, or files
    Send(Send),
    /// Fetch the files that came with messages
    Fetch(Fetch),
    /// Talk with somebody
    Chat(Chat),
    /// Print messages as they arrive, those first that arrived unseen
    Listen(Listen),
    /// Print the last messages of a chat
    History(History),
    /// Name the people behind the numbers
    #[command(subcommand, after_help = ADDRESS_BOOK)]
    Contacts(Contacts),
    /// See and choose who sees when you are there and what you read
    #[command(after_help = PRIVACY)]
    Privacy(Privacy),
    /// See and change what others see of you: name, picture, and what you say of yourself
    #[command(after_help = PROFILE)]
    Profile(UserProfile),
    /// Hear nothing more of somebody, and show them nothing
    #[command(
        after_help = "They are not told. What they send is taken and dropped, on every device \
                            of yours; it does not come later either. The server keeps their number \
                            for that."
    )]
    Block {
        /// The number, or the name of a contact
        who: String,
    },
    /// Hear of somebody again
    Unblock {
        /// The number, or the name of a contact
        who: String,
    },
    /// Tell whoever runs the server of somebody
    Report(Report),
    /// See, add, name and remove the account's devices
    #[command(subcommand)]
    Devices(Devices),
    /// Have all that the server holds of you, or delete it
    #[command(subcommand)]
    Account(Account),
    /// Guard the number against whoever gets hold of a code that is sent to it
    #[command(after_help = PIN)]
    Pin {
        #[command(subcommand)]
        command: Option<Pin>,
    },
    /// See the safety number with somebody, and note that it is the same on their side
    #[command(
        after_help = "Examples:\n  estafette verify Bob\n  estafette verify +33687654321 --same"
    )]
    Verify {
        /// The number, or the name of a contact
        who: String,
        /// It was compared, and is the same
        #[arg(long, conflicts_with = "different")]
        same: bool,
        /// Take that back
        #[arg(long)]
        different: bool,
    },
    /// See how the server, the connection and this device are
    Status,
    /// Print completions for a shell
    #[command(after_help = "Example:\n  estafette completions bash > \
                            ~/.local/share/bash-completion/completions/estafette")]
    Completions {
        /// For which shell
        shell: Shell,
    },
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "The code is asked for on the terminal, or read from standard input. A script may \
                        also run it twice: without --code and with standard input closed, which \
                        sends the code and ends with exit code 3, then with --code. A registration PIN is asked \
                        for after the code, in the same way."
)]
pub(crate) struct Register {
    /// The number to register
    pub(crate) number: String,
    /// The code that was sent to the number; without it, one is sent and asked for
    #[arg(long)]
    pub(crate) code: Option<String>,
    /// What to call this device
    #[arg(long, default_value = "command line")]
    pub(crate) name: String,
    /// The server's address [default: the profile's, or http://127.0.0.1:8787]
    #[arg(long, env = "ESTAFETTE_SERVER", value_name = "URL", hide_env_values = true)]
    pub(crate) server: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "A code is drawn, to be scanned by a device that is in the account already. \
                        Where that has no camera, run `estafette devices link` there and paste the \
                        address beneath the code."
)]
pub(crate) struct Link {
    /// What to call this device
    #[arg(long, default_value = "command line", value_parser = device_name)]
    pub(crate) name: String,
    /// The server's address [default: the profile's, or http://127.0.0.1:8787]
    #[arg(long, env = "ESTAFETTE_SERVER", value_name = "URL", hide_env_values = true)]
    pub(crate) server: Option<String>,
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Examples:\n  estafette send +33612345678 On my way\n  \
                        estafette send Alice < notes.txt\n  \
                        estafette send Alice \"From the beach\" --file one.jpg two.jpg\n  \
                        tar c photos | estafette send Alice --file - --name photos.tar\n  \
                        tail -f log | estafette send Alice --lines --wait queued")]
pub(crate) struct Send {
    /// The number, or the name of a contact
    pub(crate) to: String,
    /// The message, or what to say of the first file; without either, standard input is sent
    pub(crate) text: Vec<String>,
    /// Send these files, - for standard input; interrupted, the same command goes on
    #[arg(long, short, value_name = "PATH", num_args = 1.., conflicts_with = "lines")]
    pub(crate) file: Vec<PathBuf>,
    /// What to call the file, instead of its own name
    #[arg(long, requires = "file")]
    pub(crate) name: Option<String>,
    /// Send the files whose sending was interrupted, also those from standard input
    #[arg(long, conflicts_with_all = ["text", "file", "lines"])]
    pub(crate) resume: bool,
    /// Send each line of standard input as a message
    #[arg(long, conflicts_with = "text")]
    pub(crate) lines: bool,
    /// How far the message is to come before the command ends
    #[arg(long, value_enum, default_value = "sent")]
    pub(crate) wait: Wait,
    /// For how long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub(crate) timeout: Duration,
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "Without FILE, the last file that came is fetched. A name that is taken gets a \
                        number; interrupted, the same command goes on where it stopped.\n\n\
                        Examples:\n  estafette fetch Alice --list\n  \
                        estafette fetch Alice beach.jpg 3f2a --to ~/Pictures\n  \
                        estafette fetch Alice photos.tar --to - | tar x"
)]
pub(crate) struct Fetch {
    /// The number, or the name of a contact
    pub(crate) with: String,
    /// Which files, by name or by how their id begins
    pub(crate) file: Vec<String>,
    /// Print what can be fetched
    #[arg(long, conflicts_with_all = ["file", "all", "to"])]
    pub(crate) list: bool,
    /// Fetch every file of the chat
    #[arg(long, conflicts_with = "file")]
    pub(crate) all: bool,
    /// Where to: a directory, a new file, or - for standard output [default: here]
    #[arg(long, value_name = "PATH")]
    pub(crate) to: Option<PathBuf>,
}

/// How far a message is to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wait {
    /// It is on this machine and goes when the server can be reached
    Queued,
    /// The server has it and will not lose it
    Sent,
    /// A device of the recipient has it
    Delivered,
    /// The recipient has read it
    Read,
}

impl From<Wait> for Status {
    fn from(wait: Wait) -> Self {
        match wait {
            Wait::Queued => Self::Queued,
            Wait::Sent => Self::Sent,
            Wait::Delivered => Self::Delivered,
            Wait::Read => Self::Read,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(after_help = "Marks beside a message: ○ queued, ✓ sent, ✓✓ delivered, blue ✓✓ read.\n\
                        Enter sends, Alt-Enter begins a new line, Page Up and Page Down scroll, \
                        Ctrl-C leaves.\nWithout a terminal, each line of standard input is sent \
                        and each message is printed.")]
pub(crate) struct Chat {
    /// The number, or the name of a contact
    pub(crate) with: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Listen {
    /// Tell the senders that their messages were read
    #[arg(long)]
    pub(crate) read: bool,
    /// End after this many messages
    #[arg(long, value_name = "N")]
    pub(crate) count: Option<u64>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct History {
    /// The number, or the name of a contact
    pub(crate) with: String,
    /// How many messages
    #[arg(long, value_name = "N", default_value = "50")]
    pub(crate) limit: usize,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Contacts {
    /// Print everybody who has a name
    List,
    /// Give a number a name
    Add {
        /// The number, or the link that its owner shares
        number: String,
        /// The name
        #[arg(required = true)]
        name: Vec<String>,
    },
    /// Take the name away
    Remove {
        /// The number, or the name
        who: String,
    },
    /// See who of an address book is here
    #[command(after_help = FIND)]
    Find {
        /// The numbers
        #[arg(required_unless_present = "file", conflicts_with = "file")]
        number: Vec<String>,
        /// Look up the numbers in a file, one a line, or a vCard file; - for standard input
        #[arg(long, short, value_name = "PATH")]
        file: Option<PathBuf>,
    },
    /// Show the code and the link by which others add your number
    Share,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct UserProfile {
    #[command(subcommand)]
    pub(crate) command: Option<ProfileCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ProfileCommand {
    /// Change what others see of you
    #[command(after_help = "What is not named stays as it is; an empty text takes it away.\n\n\
        Examples:\n  estafette profile set --name Alice --picture me.jpg\n  \
        estafette profile set --about \"At sea until May\" --no-picture")]
    Set(ProfileSet),
    /// See what somebody says of themselves, as far as they show it
    Show {
        /// The number, or the name of a contact
        who: String,
        /// Save the picture as this file, which must not be there yet
        #[arg(long, value_name = "PATH")]
        picture: Option<PathBuf>,
    },
}

#[derive(Debug, ClapArgs)]
#[group(required = true, multiple = true)]
pub(crate) struct ProfileSet {
    /// What you are called, at most 100 bytes on one line
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// What you say of yourself, at most 512 bytes
    #[arg(long, value_name = "TEXT")]
    pub(crate) about: Option<String>,
    /// A picture of at most 1 MiB
    #[arg(long, value_name = "PATH")]
    pub(crate) picture: Option<PathBuf>,
    /// Take the picture away
    #[arg(long, conflicts_with = "picture")]
    pub(crate) no_picture: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Privacy {
    #[command(subcommand)]
    pub(crate) command: Option<PrivacyCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PrivacyCommand {
    /// Choose who sees something
    #[command(after_help = format!("{PRIVACY_SET}\n\n{ADDRESS_BOOK}\n\n\
        Examples:\n  estafette privacy set last-seen contacts\n  \
        estafette privacy set online everyone --except Mallory\n  \
        estafette privacy set online --no-except Mallory"))]
    Set(PrivacySet),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct PrivacySet {
    /// What they see
    #[arg(value_enum)]
    pub(crate) what: What,
    /// Who sees it; without, only the exceptions change
    #[arg(value_enum, required_unless_present_any = ["except", "no_except"])]
    pub(crate) audience: Option<To>,
    /// For these people, mean the opposite
    #[arg(long, value_name = "WHO", num_args = 1..)]
    pub(crate) except: Vec<String>,
    /// For these, mean the opposite no longer
    #[arg(long, value_name = "WHO", num_args = 1..)]
    pub(crate) no_except: Vec<String>,
}

/// What people see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum What {
    /// When you were last there
    LastSeen,
    /// That you are there, and type
    Online,
    /// Which messages you have read
    ReadMarks,
    /// Your name, picture and what you say of yourself
    Profile,
    /// That you are here, when they look your number up
    Number,
}

impl From<What> for Attribute {
    fn from(what: What) -> Self {
        match what {
            What::LastSeen => Self::LastSeen,
            What::Online => Self::Online,
            What::ReadMarks => Self::ReadMarks,
            What::Profile => Self::Profile,
            What::Number => Self::Number,
        }
    }
}

/// Who sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum To {
    /// Whoever asks
    Everyone,
    /// Who is in your contacts
    Contacts,
    /// No one
    Nobody,
}

impl From<To> for Audience {
    fn from(to: To) -> Self {
        match to {
            To::Everyone => Self::Everyone,
            To::Contacts => Self::Contacts,
            To::Nobody => Self::Nobody,
        }
    }
}

#[derive(Debug, ClapArgs)]
#[command(
    after_help = "What will be sent is shown first, and sent when you say so. Whoever runs the server \
                        learns your number, theirs, and what you attach; without --messages, no \
                        message leaves this machine. They are not told.\n\n\
                        Examples:\n  estafette report +33612345678 --messages 3 --block\n  \
                        estafette report Mallory --reason abuse --comment \"Threats since Monday\""
)]
pub(crate) struct Report {
    /// The number, or the name of a contact
    pub(crate) who: String,
    /// What they do
    #[arg(long, value_enum, default_value = "spam")]
    pub(crate) reason: Reason,
    /// What there is to say about it
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) comment: String,
    /// Attach so many of the last messages that they sent, 10 at most
    #[arg(long, value_name = "N", default_value = "0")]
    pub(crate) messages: usize,
    /// Block them as well
    #[arg(long)]
    pub(crate) block: bool,
    /// Send it without asking
    #[arg(long, short)]
    pub(crate) yes: bool,
}

/// What somebody is reported for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reason {
    /// They write to those who do not want it
    Spam,
    /// They threaten, harass or deceive
    Abuse,
    /// Something else, of which the comment tells
    Other,
}

impl From<Reason> for ReportReason {
    fn from(reason: Reason) -> Self {
        match reason {
            Reason::Spam => Self::Spam,
            Reason::Abuse => Self::Abuse,
            Reason::Other => Self::Other,
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Devices {
    /// Print the account's devices
    List,
    /// Make the device that shows a code another device of the account
    #[command(after_help = "The new device shows the address beneath its code: see `estafette \
                            link`. A shell wants it between quotes.")]
    Link {
        /// The address that the new device shows; without it, it is asked for
        url: Option<LinkUrl>,
    },
    /// Give a device another name
    Rename {
        /// Its id, as the list shows it
        id: DeviceId,
        /// The name
        #[arg(required = true)]
        name: Vec<String>,
    },
    /// Remove a device from the account
    Remove {
        /// Its id, as the list shows it
        id: DeviceId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Account {
    /// Print as JSON all that the server holds on the account
    #[command(
        after_help = "The bodies of messages that wait are left out: they come when a device \
                            connects. What this machine holds is not in it: see history."
    )]
    Export,
    /// Move the account to another number, and tell those whom you know
    #[command(
        after_help = "Your contacts, and those to whom you wrote, are told the new number; the blocked \
                            are not. Who may see what, and whom you block, moves along, and so does what \
                            this machine keeps. Your other devices are signed out, and linked again \
                            afterwards; a registration PIN is set again. The old number is no longer \
                            registered. Only the primary device can do it. Interrupted, the same command \
                            goes on where it stopped."
    )]
    Move {
        /// The new number
        number: String,
        /// The code that was sent to it; without it, one is sent and asked for
        #[arg(long)]
        code: Option<String>,
    },
    /// Delete the account from the server, for good
    #[command(
        after_help = "Your devices are signed out, what waits for them is gone, and who writes \
                            to the number is told that nobody is registered there. Files that you \
                            sent are deleted when their 30 days are over, your profile and its \
                            picture at once. Only the primary device can do it. What this machine keeps stays until you delete it."
    )]
    Delete {
        /// The account's number, to make sure; without it, it is asked for
        number: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Pin {
    /// Set the PIN, in place of the one before
    Set,
    /// Register the number by the code alone again
    Remove,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds: f64 = text.parse().map_err(|_| "give a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(seconds).map_err(|error| error.to_string())
}

/// What a device may be called.
pub(crate) fn device_name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.len() > DEVICE_NAME_BYTES_MAX || text.contains(char::is_control) {
        return Err(format!("give a name of at most {DEVICE_NAME_BYTES_MAX} bytes"));
    }
    Ok(text.to_owned())
}

/// A profile is a directory: its name must not lead out of the directory of profiles.
fn profile_name(text: &str) -> Result<String, String> {
    let fits = |character: char| character.is_alphanumeric() || "+-_.".contains(character);
    if text.is_empty() || text.starts_with('.') || !text.chars().all(fits) {
        return Err("use letters, digits, and + - _ . within".into());
    }
    Ok(text.to_owned())
}
