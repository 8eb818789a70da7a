"""The longest paths: counted through modules, RAMs and primitives, and loops found."""

import pytest

from sim.paths import additions, levels, longest_paths, multiplications
from sim.programs import BuildError

ADDER = """
module adder(input clk, input [7:0] a, input [7:0] b, output [7:0] total, output reg [7:0] kept);
  assign total = a + b;
  always @(posedge clk) kept <= a - b;
endmodule
"""
TWO = """
module top(input clk, input [7:0] x, output reg [15:0] y);
  reg [7:0] held;
  wire [7:0] once, twice, kept;
  adder first(.clk(clk), .a(held), .b(x), .total(once), .kept());
  adder second(.clk(clk), .a(once), .b(held), .total(twice), .kept(kept));
  always @(posedge clk) begin
    held <= x;
    y <= twice * kept;
  end
endmodule
"""


def test_paths_lead_through_modules() -> None:
    found = longest_paths({"adder.v": ADDER, "top.v": TWO}, "top", additions)
    # Two adders to the product, as to the difference in the second adder.
    assert found["top"].weight == 2
    assert found["top"].all_steps[0] == "top.held"
    assert "adder" not in found, "between the ports of the adder and its registers nothing is complete"


def test_multiplications_are_counted_apart() -> None:
    found = longest_paths({"adder.v": ADDER, "top.v": TWO}, "top", multiplications)["top"]
    assert (found.weight, found.all_steps[-1]) == (1, "to top.y")


def test_levels_weigh_what_lies_on_the_way() -> None:
    assert longest_paths({"adder.v": ADDER, "top.v": TWO}, "top", levels)["top"].weight == 2 + 2 + 4


def test_rams_of_luts_are_on_the_way_and_others_end_it() -> None:
    text = """
    module top(input clk, input [3:0] n, input [7:0] d, output reg [7:0] early, output reg [7:0] late);
      (* ram_style = "distributed" *) reg [7:0] luts [15:0];
      (* ram_style = "block" *) reg [7:0] block [15:0];
      reg [3:0] address;
      reg [7:0] read;
      always @(posedge clk) begin
        address <= n;
        luts[n] <= d;
        block[n] <= d;
        read <= block[address + 4'd1];
        early <= luts[address + 4'd3] + 8'd5;
        late <= read - 8'd7;
      end
    endmodule
    """
    found = longest_paths({"top.v": text}, "top", additions)["top"]
    assert (found.weight, str(found)) == (2, "top.address, + 4 bits, RAM of LUTs, + 8 bits, to top.early")


def test_a_primitive_begins_and_ends_paths() -> None:
    text = """
    module top(input clk, input [29:0] a, output reg [47:0] y);
      reg [29:0] held;
      wire [47:0] p;
      DSP48E2 dsp(.CLK(clk), .A(held + 30'd1), .P(p));
      always @(posedge clk) begin held <= a; y <= p + 48'd1 - held; end
    endmodule
    """
    assert longest_paths({"top.v": text}, "top", additions)["top"].weight == 2


def test_loops_and_latches_are_refused() -> None:
    through = """
    module pass(input a, output y); assign y = ~a; endmodule
    module top(input x, output y); wire z; pass p(.a(y), .y(z)); assign y = z & x; endmodule
    """
    with pytest.raises(ValueError, match="^combinational loop through top"):
        longest_paths({"top.v": through}, "top", levels)
    with pytest.raises(BuildError):
        longest_paths({"top.v": "module top(input a, output y); assign y = y ^ a; endmodule"}, "top", levels)
    latch = "module top(input g, input d, output reg q); always @* if (g) q = d; endmodule"
    with pytest.raises(BuildError):
        longest_paths({"top.v": latch}, "top", levels)
