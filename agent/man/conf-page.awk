# SPDX-License-Identifier: GPL-3.0-or-later
# batten.conf(5) out of the file that ships: its sections, its comments, its keys with their defaults.

function roff(text)
{
	gsub(/\\/, "\\e", text)
	gsub(/-/, "\\-", text)
	sub(/^[.']/, "\\\\\\&&", text)
	return text
}

BEGIN {
	print ".\\\" SPDX-License-Identifier: GPL-3.0-or-later"
	print ".TH BATTEN.CONF 5 \"\" \"batten\" \"File formats\""
	print ".SH NAME\nbatten.conf \\- configuration of batten"
	print ".SH SYNOPSIS\n.I /etc/batten/batten.conf"
	print ".SH DESCRIPTION"
	print "Sections in brackets, and in them lines"
	print ".IR \"key \" = \" value\" ."
	print "A line that begins with # is a comment."
	print "Yes and no are also true and false, on and off, 1 and 0."
}
/^# SPDX/ { next }
/^#/ {
	sub(/^# ?/, "")
	# The file's name stands in the synopsis.
	comment = comment (comment == "" ? "" : "\n") roff($0)
	next
}
/^\[/ {
	flush_head()
	gsub(/[][]/, "")
	print ".SH SECTION [" roff($0) "]"
	section = $0
	next
}
/=/ {
	key = value = $0
	sub(/ *=.*/, "", key)
	sub(/[^=]*= */, "", value)
	print ".TP\n.B " roff(key)
	print comment
	print "Default:"
	print value == "" ? "empty." : ".BR " roff(value) " ."
	comment = ""
	next
}
/^$/ && section == "" { flush_head() }

function flush_head()
{
	if (comment != "")
		print ".PP\n" comment
	comment = ""
}
END { print ".SH SEE ALSO\n.BR batten (8),\n.BR batten\\-waivers (5)" }
