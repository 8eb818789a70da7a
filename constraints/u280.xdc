# Constraints for the synthesis of the pipeline out of context. synth.tcl reads this file.
#
# The only clock, at the planned frequency. On the board an MMCM generates the clock and its constraint, so a board
# design must not read this file.
create_clock -name clk -period @{period_ns} [get_ports clk]

# An estimate of the jitter of that clock. Without it, Vivado would assume a perfect clock.
set_clock_uncertainty 0.100 [get_clocks clk]

# The ports are streams between registers of a larger design. So Vivado times the paths from register to register
# here. Paths from and to ports have no constraint, on purpose.
