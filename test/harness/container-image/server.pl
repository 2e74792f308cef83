# The program in the tests' containers: HTTP and WebSocket at $PORT (8080), one process for each connection. Each path does
# one thing that a test looks at from outside. Written for perl-base, which every Debian has.
use strict;
use warnings;
use IO::Socket::INET;

$| = 1;
$SIG{CHLD} = 'IGNORE';
my $parent = $$;
$SIG{TERM} = sub { print "got SIGTERM\n"; exit($ENV{EXIT_CODE} // 0) };
my $port = $ENV{PORT} // 8080;
sleep($ENV{STARTS_AFTER}) if $ENV{STARTS_AFTER};
my $second = $ENV{SECOND_PORT};
if ($second && !fork) { $port = $second }
my $server = IO::Socket::INET->new(LocalPort => $port, Listen => 64, ReuseAddr => 1) or die "cannot listen on $port: $!";
print "listening on $port\n";

while (1) {
    my $client = $server->accept or next;
    if (fork) { close $client; next }
    $SIG{TERM} = 'DEFAULT';
    serve($client);
    exit 0;
}

sub slurp { my ($path) = @_; open(my $file, '<', $path) or return undef; local $/; my $text = <$file>; return $text }

# Limits lie elsewhere in version 2 of control groups.
sub limit { for my $path (@_) { my $text = slurp("/sys/fs/cgroup/$path"); if (defined $text) { chomp $text; return $text } } return 'unknown' }

sub serve {
    my ($client) = @_;
    my $head = '';
    while (defined(my $line = <$client>)) { last if $line =~ /^\r?\n$/; $head .= $line }
    my ($method, $path, $query) = $head =~ m{^(\w+) ([^ ?]*)\??(\S*)} or return;
    return echo($client, $1) if $head =~ /^sec-websocket-key: (\S+)/mi;
    my $answer = '';
    if ($path eq '/env') { $answer = join '', map { "$_=$ENV{$_}\n" } sort keys %ENV }
    elsif ($path eq '/limits') {
        $answer = limit('memory/memory.limit_in_bytes', 'memory.max') . ' ' . limit('cpu/cpu.cfs_quota_us', 'cpu.max') . ' ' . limit('cpu/cpu.cfs_period_us', 'cpu.max');
    }
    elsif ($path eq '/write') { open(my $file, '>', '/written') or die; print $file $query; $answer = "written\n" }
    elsif ($path eq '/read') { $answer = slurp('/written') // "nothing\n" }
    elsif ($path eq '/log') { print "$query\n"; print STDERR "error $query\n"; $answer = "logged\n" }
    elsif ($path eq '/exit') { kill 'KILL', $parent if $query eq 'kill'; kill 'TERM', $parent }
    elsif ($path eq '/hog') { my $bytes = 'x' x (($query || 1) * 1024 * 1024); $answer = length($bytes) . "\n" }
    elsif ($path eq '/dial') {
        my $out = IO::Socket::INET->new(PeerAddr => $query, Timeout => 2);
        if ($out) { print $out "GET / HTTP/1.0\r\n\r\n"; $answer = "connected: " . (<$out> // '') } else { $answer = "failed: $@\n" }
    }
    elsif ($path eq '/fill') {
        open(my $file, '>', '/filled') or die;
        my $block = 'x' x (1024 * 1024);
        my $ok = 1;
        for (1 .. $query) { $ok = print $file $block; last unless $ok }
        $ok &&= close $file;
        $answer = $ok ? "filled\n" : "failed: $!\n";
    }
    else { $answer = "$method $path from " . ($ENV{CLOUDFLARE_DURABLE_OBJECT_ID} // 'nobody') . " version " . ($ENV{IMAGE_VERSION} // slurp('/version') // 'none') . " port $port\n" }
    print $client "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: " . length($answer) . "\r\nconnection: close\r\n\r\n$answer";
}

# A WebSocket that says everything again. Messages of up to 125 bytes.
sub echo {
    my ($client, $key) = @_;
    my $accept = `/bin/busybox printf %s '${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11' | /bin/busybox sha1sum | /bin/busybox cut -c1-40 | /bin/busybox xxd -r -p | /bin/busybox base64`;
    chomp $accept;
    print $client "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: $accept\r\n\r\n";
    while (read($client, my $start, 2) == 2) {
        my ($first, $length) = unpack('CC', $start);
        $length &= 127;
        read($client, my $mask, 4);
        my $data = '';
        read($client, $data, $length) if $length;
        my @mask = unpack('C4', $mask);
        my $i = 0;
        my $text = join '', map { chr(ord($_) ^ $mask[$i++ % 4]) } split //, $data;
        print $client pack('CC', $first, $length) . $text;
        return if ($first & 15) == 8;
    }
}
