"""What in a kernel's log may tell of a machine, its net or its users: kinds, and how each looks.

A rule's group named ``it`` is what goes. The rules are tried in order, on what earlier ones left.
They err to removing: what looks like a name, an address or a number that belongs to somebody goes,
also where it is none.

Source: the messages in Linux v6.12, and the kinds that ``sos clean`` knows.
"""

from __future__ import annotations

import re
from enum import StrEnum


class Kind(StrEnum):
    """What was replaced; the value is how reports name it."""

    MESSAGE = "message"
    COMMAND_LINE = "command line"
    ARGUMENT = "argument"
    PROCESS = "process"
    REGISTER = "register"
    HEX = "hexdump"
    UUID = "uuid"
    MAC = "mac"
    IPV6 = "ipv6"
    IPV4 = "ipv4"
    MAIL = "mail"
    URL = "url"
    HOST = "host"
    TIME = "time"
    NAMED = "named value"
    SERIAL = "serial"
    QUOTED = "quoted"
    PATH = "path"
    ADDRESS = "address"


MARKS: dict[Kind, bytes] = {
    Kind.MESSAGE: b"message",
    Kind.COMMAND_LINE: b"value",
    Kind.ARGUMENT: b"arg",
    Kind.PROCESS: b"task",
    Kind.REGISTER: b"register",
    Kind.HEX: b"data",
    Kind.UUID: b"uuid",
    Kind.MAC: b"mac",
    Kind.IPV6: b"ip6n",
    Kind.IPV4: b"ip4n",
    Kind.MAIL: b"mail",
    Kind.URL: b"url",
    Kind.HOST: b"host",
    Kind.TIME: b"time",
    Kind.NAMED: b"name",
    Kind.SERIAL: b"serial",
    Kind.QUOTED: b"text",
    Kind.PATH: b"path",
    Kind.ADDRESS: b"addr",
}
"""What stands in the log instead, before a number: the same one for the same text."""

COMMAND_LINES = re.compile(
    rb"(?i)(?:command[ -]line(?: parameters)?|cmd_?line|bootargs|boot arguments?)"
    rb"[^:=\"]*[:=\"](?P<it>.*)",
    re.DOTALL,
)
"""Messages with what the kernel was booted with; of it only values that tell of memory stay."""

PLAIN_PARAMETERS = re.compile(
    rb"(?:crashkernel|mem|fadump|hugepages|hugepagesz|default_hugepagesz|disable_radix|radix|numa"
    rb"|hash_mmu|movablecore|kernelcore|nr_cpus|maxcpus|log_buf_len|panic|nosmt|smt-enabled)"
    rb"=[0-9]{0,12}[KMGTPkmgtp]?(?:[@,:-][0-9]{1,12}[KMGTPkmgtp]?)*(?:on|off|yes|no|force)?"
)
"""Parameters that stay as they are, with values that can be no name."""

ARGUMENTS = re.compile(rb"^ {2,}(?:[A-Za-z_][A-Za-z0-9_.]*=)?(?P<it>\S.*)$", re.DOTALL)
"""What the kernel says of the arguments and the environment of init, below `ARGUMENTS_FOLLOW`."""
ARGUMENTS_FOLLOW = re.compile(rb"^ {2}with (?:arguments|environment):$")

_WORD = rb"[A-Za-z0-9_.@%+-]"
_OCTET = rb"(?:[0-9]{1,3})"
_CODE = rb"(?:c|h|S|s|rs|o|ko|xz|zst|gz|fw|dtb|dts|inc|lds|conf|py|sh)"
_BUSES = (
    rb"(?:memory|pci|pciex|cpus?|PowerPC,[A-Za-z0-9]+|vty|vdevice|v-scsi|vfc-client|l-lan|rtas|nvram"
    rb"|xscom|isa|serial|i2c|ibm,[a-z0-9-]+|interrupt-controller|lpc|psi|mmio|opal|phb)"
)

_PLAIN_LINKS = (
    rb"(?:lo|(?:eth|ib|bond|br|virbr|docker|veth|tun|tap|usb|vlan|dummy|team|net|env)[0-9a-f]*"
    rb"|(?:en|wl|ib)(?:[opsP][A-Za-z0-9]+))"
)
"""Names of network devices that a kernel or udev gives; any other is what somebody chose."""
_LINK = rb"(?P<it>(?!" + _PLAIN_LINKS + rb"(?![\w-]))[A-Za-z][^\s:()=,]{0,14})"

RULES: tuple[tuple[Kind, re.Pattern[bytes]], ...] = tuple(
    (kind, re.compile(pattern, re.DOTALL))
    for kind, pattern in (
        # Of processes: what they log themselves, and what they are called.
        (Kind.MESSAGE, rb"(?i)\b(?:audit[:(]|type=[0-9]+ audit)(?P<it>.*)"),
        (Kind.REGISTER, rb"^ ?GPR[0-9]+:(?P<it>.*)"),
        (Kind.REGISTER, rb"\b(?:DAR|CTR|XER|CFAR|REGS)(?::|=) ?(?P<it>[0-9a-fA-F]+)"),
        (
            Kind.HEX,
            rb"(?i)\b(?:code|instruction dump|stack(?: dump)?|dump|data|raw)"
            rb": (?P<it>(?:[<(]?[0-9a-fX]{2,16}[>)]? ?){3}.*)",
        ),
        (Kind.HEX, rb"(?P<it>(?:[<(]?\b[0-9a-fA-FX]{8}[>)]? ){3}.*)"),
        (Kind.HEX, rb"(?P<it>(?:\b[0-9a-fA-F]{2} ){4}.*)"),
        (
            Kind.PROCESS,
            rb"(?i)\bcomm[:=] ?\"?(?!swapper/)(?P<it>.+?)(?=\"| Kdump:| Tainted| Not tainted|,|$)",
        ),
        (Kind.PROCESS, rb"^(?:traps: )?(?P<it>\S[^\[\]:]{0,30})\[[0-9]+\](?=:| )"),
        (Kind.PROCESS, rb"\[(?P<it>[^\[\]]{1,30}):[0-9]+\]"),
        (
            Kind.PROCESS,
            rb"(?i)\b(?:task|process|program|note|thread|kill(?:ed|ing))"
            rb"(?:[:=] ?|  ?)(?!(?:state|process|task|of|with|is|as|has|memory|for|on)\b)"
            rb"(?:[0-9]+ \((?P<it>[^)]*)\)|(?P<it2>[^\s,]+(?=[:/\[(, ][0-9]+|,| \(pid| state|\[)))",
        ),
        (Kind.PROCESS, rb"^\[ *[0-9]+\](?: +-?[0-9]+){5,} +(?P<it>\S.*)$"),
        (Kind.PROCESS, rb"^(?P<it>\S[^()\[\]:]{0,30}) \([0-9]+\)(?=:| used greatest)"),
        (
            Kind.PROCESS,
            rb"^(?P<it>\S[^:]{0,30}?)(?=: page allocation |: vmalloc | invoked oom-killer"
            rb"| uses obsolete | calls setitimer)",
        ),
        (Kind.PROCESS, rb"\btask:(?P<it>\S.{0,40}?)(?= {1,20}state:)"),
        (Kind.PROCESS, rb"\b(?:in process|scanned by|comm) (?P<it>[^\s:,]+)"),
        (Kind.PROCESS, rb"\bprintk: (?P<it>[^:]+)(?=: [0-9]+ output lines suppressed)"),
        (Kind.NAMED, rb"(?i)\b(?:[ao]?uid|loginuid|gid)[:=] ?(?P<it>[0-9]+)"),
        # What was read where an address was expected can be a piece of text.
        (Kind.HEX, rb"\b(?:but was|but is|instead of) (?:0x)?(?P<it>[0-9a-f]{8,16})\b"),
        (Kind.HEX, rb"(?i)\bat (?:address )?0x(?P<it>(?![cdf]0)[0-9a-f]{16})\b"),
        (Kind.PROCESS, rb"(?i)\bRun (?P<it>\S+) as\b"),
        # Names that are told as such.
        (
            Kind.NAMED,
            rb"(?i)\b(?:s/n|serial ?(?:number|no\.?|#)|serial(?=[:=])|serialnumber|wwn|wwid"
            rb"|wwpn|wwnn|asset(?: tag)?|manufacturer|product|label|guid|iqn|nqn|subsysnqn"
            rb"|host ?name|domain|nis-domain|nodename|user(?:name)?|login|pass(?:word|wd"
            rb"|phrase)?|secret|token|credentials?|ssid|essid|volume|partition[ _-]name"
            rb"|share|export|rootpath|rootserver|bootserver|bootfile|nameserver[0-9]?|exe"
            rb"|task_memcg|oom_memcg|cpuset|mems_allowed_from|path|file|cgroup)"
            rb" ?[:=]+ ?(?P<it>[^\s,;\]][^,;\]]*)",
        ),
        (
            Kind.NAMED,
            rb"(?i)\b(?:serial number|server|share|volume|host|domain|user|hostname|peer|label)"
            rb" (?P<it>[A-Za-z0-9_.:\\/-]*[0-9._\\/-][A-Za-z0-9_.:\\/-]*"
            rb"|\S+(?= not responding| OK))",
        ),
        (Kind.NAMED, rb"\b(?:iqn|eui|naa|t10|nqn)\.(?P<it>\S+)"),
        (
            Kind.NAMED,
            rb"(?i)\b(?:host partition:?|device label|nfsv?[0-9.]* server) (?P<it>[^\s,(]+)",
        ),
        (Kind.NAMED, rb"\bfsid=(?P<it>[^\s:=]{1,80}:[^\s:.]+)"),
        (Kind.NAMED, rb"^dlm: (?P<it>[^\s:]+)(?=: )"),
        # Of network devices, and what a firewall writes before what it saw.
        (Kind.NAMED, rb"^(?P<it>\S.*?)(?= ?IN=\S{0,15} OUT=)"),
        (
            Kind.NAMED,
            rb"\b(?:ADDRCONF\([A-Z_]+\): |renamed from |port [0-9]+\(|\(slave |IN=|OUT=)" + _LINK,
        ),
        (Kind.NAMED, rb"\b" + _LINK + rb"(?=: renamed from )"),
        (
            Kind.NAMED,
            rb"^(?:device )?"
            + _LINK
            + rb"(?=:? (?:entered|left) (?:promiscuous|allmulticast) mode|: port [0-9]+\()",
        ),
        # Forms.
        (Kind.URL, rb"\b[a-z][a-z0-9+]{1,10}://(?P<it>\S+)"),
        (Kind.URL, rb"(?P<it>\\\\\S+|(?<![:\w])//\S+)"),
        (Kind.UUID, rb"(?i)(?P<it>\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"),
        (Kind.UUID, rb"(?i)(?P<it>\b(?!0x)[0-9a-f]{17,}\b)"),
        (Kind.MAC, rb"(?i)(?P<it>(?<![0-9a-f:.-])(?:[0-9a-f]{2}[:-]){5,}[0-9a-f]{2}(?![0-9a-f]))"),
        (
            Kind.MAC,
            rb"(?i)(?P<it>(?<![0-9a-f.])[0-9a-f]{4}\.[0-9a-f]{4}\.[0-9a-f]{4}(?![0-9a-f.]))",
        ),
        (Kind.IPV6, rb"(?i)(?P<it>(?<![0-9a-z:])(?:[0-9a-f]{1,4}:){7}[0-9a-f]{1,4}(?![0-9a-z:]))"),
        (
            Kind.IPV6,
            rb"(?i)(?P<it>(?<![0-9a-z:])(?:[0-9a-f]{1,4}:){0,6}(?:[0-9a-f]{1,4})?::"
            rb"(?:[0-9a-f]{1,4}:){0,6}(?:[0-9a-f]{1,4}(?:(?:\." + _OCTET + rb"){3})?)?"
            rb"(?:%\w+)?(?![0-9a-z:]))",
        ),
        (Kind.IPV4, rb"(?P<it>(?<![0-9.])" + _OCTET + rb"(?:\." + _OCTET + rb"){3}(?![0-9]))"),
        (Kind.MAIL, rb"(?<![/\w,-])(?!" + _BUSES + rb"@)(?P<it>[A-Za-z0-9_.+-]+@[A-Za-z0-9_.-]+)"),
        (
            Kind.TIME,
            rb"(?P<it>\b[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.]+(?: ?UTC|Z)?"
            rb"(?: \([0-9]+\))?)?)",
        ),
        (Kind.TIME, rb"(?P<it>\b[0-9]{10}(?:\.[0-9]+)?(?=\)|s\b| seconds))"),
        (
            Kind.TIME,
            rb"(?P<it>\b(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} +[0-9]{1,2} "
            rb"[0-9:]{8}[^\n]*)",
        ),
        (
            Kind.HOST,
            rb"(?P<it>(?<![\w/.@-])(?:[A-Za-z0-9_-]+\.)+(?!"
            + _CODE
            + rb"\b)[A-Za-z][A-Za-z-]+(?![\w/-]))",
        ),
        (
            Kind.PATH,
            rb"(?<![\w.,>/)-])(?P<it>/(?!(?:dev/(?:sd|vd|nvme|loop|hd|sr|pts|null|console"
            rb"|tty|hvc|mem|kmsg)\w*|" + _BUSES + rb"@[0-9a-f,]+)(?:[\s:,]|$))"
            rb"[A-Za-z0-9_.+-][^\s,;:)\]'\"]*)",
        ),
        (Kind.QUOTED, rb"(?<![A-Za-z0-9])['\"`](?P<it>[^'\"`\n]{2,})['\"](?![A-Za-z0-9])"),
        # Where something is plugged in: machine type, model, and then the machine's serial number.
        (Kind.SERIAL, rb"\bU[0-9A-Z]{4}\.[0-9A-Z]{3}\.(?P<it>[0-9A-Z]{7})(?![0-9A-Z])"),
        # What is neither a word nor a number, and long: it names one thing of many.
        (
            Kind.SERIAL,
            rb"(?P<it>(?<![\w.-])(?!0x)(?=[A-Za-z-]*[0-9])(?=[0-9-]*[A-Z])"
            rb"(?:[A-Z0-9]-?){9,}(?![\w-]))",
        ),
        (
            Kind.SERIAL,
            rb"(?P<it>(?<![\w.-])(?!0x|c0[0-9a-f]{14}\b|[0-9a-f]{8}-|[0-9a-f]{16}\b)"
            rb"(?=(?:[A-Za-z]*[0-9]){4})(?=(?:[0-9]*[A-Za-z]){4})[A-Za-z0-9]{12,}(?!\w))",
        ),
        (
            Kind.SERIAL,
            rb"(?P<it>(?<![\w+/])(?=[A-Za-z+/]*[0-9])(?=[a-z0-9+/]*[A-Z])"
            rb"(?=[A-Z0-9+/]*[a-z])[A-Za-z0-9+/]{20,}={0,2}(?![\w+/]))",
        ),
    )
)

ADDRESS_RULE = (
    Kind.ADDRESS,
    re.compile(rb"(?i)(?P<it>\b(?:0x)?[0-9a-f]{9,16}\b)"),
)
"""Kernel and physical addresses, where addresses are hidden."""
