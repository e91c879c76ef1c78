//! The prime factors of the number on standard input, as JSON. It knows nothing of Caxton.
const std = @import("std");

pub fn main(init: std.process.Init) !void {
    var input: [64]u8 = undefined;
    var reader = std.Io.File.stdin().reader(init.io, &input);
    var output: [1024]u8 = undefined;
    var writer = std.Io.File.stdout().writer(init.io, &output);
    const out = &writer.interface;
    const line = try reader.interface.takeDelimiter('\n') orelse "";
    var rest = std.fmt.parseInt(u64, std.mem.trim(u8, line, " \r"), 10) catch {
        std.debug.print("a whole number is expected, not {s}\n", .{line});
        std.process.exit(2);
    };
    try out.writeByte('[');
    var factor: u64 = 2;
    var first = true;
    while (rest > 1) {
        if (factor * factor > rest) factor = rest;
        if (rest % factor == 0) {
            if (!first) try out.writeByte(',');
            try out.print("{d}", .{factor});
            first = false;
            rest /= factor;
        } else factor += 1;
    }
    try out.writeAll("]\n");
    try out.flush();
}
