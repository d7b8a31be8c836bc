"""nnU-Net's trainer with distance maps, class weights and the paper's losses."""
