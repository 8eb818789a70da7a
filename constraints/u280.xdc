# The pipeline by itself, for synthesis out of context: synth.tcl reads this file.
#
# Its one clock, at the frequency that is planned for. On the board an MMCM makes the clock, and with it a constraint:
# there this file is not to be read.
create_clock -name clk -period @{period_ns} [get_ports clk]

# About the jitter of that MMCM's clock; without it the clock would be taken for a perfect one.
set_clock_uncertainty 0.100 [get_clocks clk]

# The ports are streams between registers of a larger design. So what is timed here are the paths from register to
# register; those from and to ports have no constraint, on purpose.
