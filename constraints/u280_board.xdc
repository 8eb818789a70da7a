# An Alveo U280: the pins of a top that holds the pipeline, its memory and its host interface.
#
# Its ports are to be named hbm_cattrip, sysclk_p, sysclk_n, reset_n, pcie_clk_p, pcie_clk_n and pcie_reset_n. A missing
# one is an error, and for hbm_cattrip has to be.

# The HBM's alarm, to the card's satellite controller. It must always be driven: low without HBM, by the CATTRIP of
# both stacks with it. The card pulls it high where nobody does, and then cuts the power; with such a bitstream in the
# flash, over and over.
set_property -dict {PACKAGE_PIN D32 IOSTANDARD LVCMOS18 PULLTYPE PULLDOWN} [get_ports hbm_cattrip]
set_false_path -to [get_ports hbm_cattrip]

# SYSCLK3, 100 MHz, free-running: the clock that no memory controller needs (those of the DIMMs are at BJ43/BJ44 and
# BH6/BJ6).
set_property -dict {PACKAGE_PIN G31 IOSTANDARD LVDS} [get_ports sysclk_p]
set_property -dict {PACKAGE_PIN F31 IOSTANDARD LVDS} [get_ports sysclk_n]
create_clock -name sysclk -period 10.000 [get_ports sysclk_p]

# The card's reset button, active low. It is asynchronous: synchronise it.
set_property -dict {PACKAGE_PIN L30 IOSTANDARD LVCMOS18} [get_ports reset_n]
set_false_path -from [get_ports reset_n]

# PCIe: the reference clock of lanes 0 to 15 (for an IBUFDS_GTE4, so without an I/O standard) and the slot's reset.
set_property PACKAGE_PIN AR15 [get_ports pcie_clk_p]
set_property PACKAGE_PIN AR14 [get_ports pcie_clk_n]
create_clock -name pcie_clk -period 10.000 [get_ports pcie_clk_p]
set_property -dict {PACKAGE_PIN BH26 IOSTANDARD LVCMOS18 PULLTYPE PULLUP} [get_ports pcie_reset_n]
set_false_path -from [get_ports pcie_reset_n]

# Configuration: from the card's quad SPI flash, in a bank of 1.8 V; compressed, as bitstreams of this device are large.
set_property CONFIG_VOLTAGE 1.8 [current_design]
set_property CONFIG_MODE SPIx4 [current_design]
set_property BITSTREAM.CONFIG.SPI_BUSWIDTH 4 [current_design]
set_property BITSTREAM.CONFIG.SPI_32BIT_ADDR YES [current_design]
set_property BITSTREAM.CONFIG.SPI_FALL_EDGE YES [current_design]
set_property BITSTREAM.CONFIG.CONFIGRATE 85.0 [current_design]
set_property BITSTREAM.GENERAL.COMPRESS TRUE [current_design]

# Watts that the card's supply and cooling are made for; Vivado's report of power warns beyond.
set_operating_conditions -design_power_budget 160
