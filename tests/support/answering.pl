# A small web server on the socket that it is given (sd_listen_fds(3)): answers every
# request with its own pid. On SIGTERM it finishes what it has accepted and ends.
use strict;
use warnings;
use Fcntl;
use Socket;

die "no socket for me\n" unless ($ENV{LISTEN_PID} // 0) == $$ && $ENV{LISTEN_FDS} >= 1;
open(my $server, '+<&=', 3) or die "cannot take the socket: $!";
my $ends = 0;
$SIG{TERM} = sub { $ends = 1 };
$SIG{PIPE} = 'IGNORE';
# Others may take the connection that woke us.
fcntl($server, F_SETFL, fcntl($server, F_GETFL, 0) | O_NONBLOCK) or die $!;
$| = 1;
print "listening\n";
while (!$ends) {
    my $readable = '';
    vec($readable, 3, 1) = 1;
    next unless select($readable, undef, undef, 0.1) > 0;
    accept(my $client, $server) or next;
    my $request = '';
    while ($request !~ /\r\n\r\n/) {
        my $read = sysread($client, $request, 4096, length $request);
        next if !defined $read && $!{EINTR};
        last unless $read;
    }
    my $body = "$$\n";
    my $length = length $body;
    syswrite($client, "HTTP/1.1 200 OK\r\nContent-Length: $length\r\nConnection: close\r\n\r\n$body");
    close $client;
}
